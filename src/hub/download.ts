import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { errorMessage, fail } from '../base/index.ts';

export interface DownloadOptions {
  readonly url: string;
  /** Where the file is to be. Until it is whole and checked it is `PATH.part`, from which a later call goes on. */
  readonly path: string;
  /** Expected content, 64 hexadecimal digits. Without it, the one that the hub announces is checked, if it does. */
  readonly sha256?: string | undefined;
  /** Sent to the server of `url` only, not to where it redirects. */
  readonly token?: string | undefined;
  readonly fetch: typeof fetch;
  readonly signal?: AbortSignal | undefined;
  /** How long a server may take to answer at all, and then between two pieces. */
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  onProgress(receivedBytes: number, totalBytes: number | null): void;
}

/** The server has no such file. */
export const NOT_FOUND = Symbol('not found');

const MAX_REDIRECTS = 5;
/** A connection that breaks is taken up again this many times in all, until so many attempts in a row have brought nothing. */
const MAX_ATTEMPTS = 20;
const MAX_FRUITLESS_ATTEMPTS = 3;

interface Answer {
  readonly response: Response;
  /** The sha256 that Hugging Face's hub announces for large files. */
  readonly announced: string | undefined;
}

/**
 * Downloads a file, going on where an earlier attempt was cut off (HTTP Range with If-Range, RFC 9110).
 * @returns NOT_FOUND when the server answers 404
 * @throws DOWNLOAD_FAILED with the reason; DIGEST_MISMATCH; CANCELLED
 */
export async function downloadFile(options: DownloadOptions): Promise<typeof NOT_FOUND | undefined> {
  const { path, url } = options;
  const part = `${path}.part`;
  for (let attempt = 1, numFruitless = 0; ; attempt++) {
    const before = sizeOf(part);
    try {
      const result = await downloadOnce(options, part);
      if (result === NOT_FOUND) return NOT_FOUND;
      await checkDigest(part, options.sha256 ?? result.announced, url);
      rmSync(`${part}.etag`, { force: true });
      renameSync(part, path);
      return undefined;
    } catch (error) {
      if (options.signal?.aborted) fail('CANCELLED', `the download of ${url} was cancelled`, { cause: error });
      if (!(error instanceof Interrupted)) throw error;
      numFruitless = sizeOf(part) > before ? 0 : numFruitless + 1;
      if (attempt === MAX_ATTEMPTS || numFruitless === MAX_FRUITLESS_ATTEMPTS) {
        fail('DOWNLOAD_FAILED', `${url}: ${error.message}`, { cause: error });
      }
    }
  }
}

/** The transfer broke off: what came is kept, and going on may help. */
class Interrupted extends Error {}

async function downloadOnce(options: DownloadOptions, part: string): Promise<Answer | typeof NOT_FOUND> {
  const watch = new Watchdog(options);
  try {
    const answer = await request(options, part, watch);
    const { response } = answer;
    if (response.status === 404) return NOT_FOUND;
    if (response.status === 416) {
      // The part is longer than the file: it is of something else.
      rmSync(part, { force: true });
      throw new Interrupted('the part that was there does not belong to this file');
    }
    if (!response.ok || !response.body)
      fail('DOWNLOAD_FAILED', `${options.url}: the server answered ${response.status} ${response.statusText}`);
    await receive(options, part, response, watch);
    return answer;
  } finally {
    watch.stop();
  }
}

/** Follows redirects by hand: the hub announces the digest in its redirect, and the token must stay with it. */
async function request(options: DownloadOptions, part: string, watch: Watchdog): Promise<Answer> {
  const offset = sizeOf(part);
  const etag = existsSync(`${part}.etag`) ? readFileSync(`${part}.etag`, 'utf8') : undefined;
  const range: Record<string, string> =
    offset > 0 && etag !== undefined ? { range: `bytes=${offset}-`, 'if-range': etag } : {};
  const origin = new URL(options.url).origin;
  let announced: string | undefined;
  let url = options.url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const token =
      options.token !== undefined && new URL(url).origin === origin ? { authorization: `Bearer ${options.token}` } : {};
    let response: Response;
    try {
      const headers = { ...range, ...token, 'accept-encoding': 'identity' };
      response = await options.fetch(url, { headers, redirect: 'manual', signal: watch.signal });
    } catch (cause) {
      return fail('DOWNLOAD_FAILED', `${url}: ${watch.reason ?? networkReason(cause)}`, { cause });
    }
    announced ??= sha256Of(response.headers.get('x-linked-etag'));
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || location === null) return { response, announced };
    await response.body?.cancel();
    url = new URL(location, url).href;
  }
  return fail('DOWNLOAD_FAILED', `${options.url}: more than ${MAX_REDIRECTS} redirects`);
}

async function receive(options: DownloadOptions, part: string, response: Response, watch: Watchdog): Promise<void> {
  const isContinued = response.status === 206;
  if (!isContinued) rmSync(part, { force: true });
  const etag = response.headers.get('etag');
  // A weak validator does not promise the same bytes, so that file is never continued.
  if (etag !== null && !etag.startsWith('W/')) writeFileSync(`${part}.etag`, etag);
  else rmSync(`${part}.etag`, { force: true });
  let received = sizeOf(part);
  const length = response.headers.get('content-length');
  const total = length === null ? null : received + Number(length);
  if (isContinued && !response.headers.get('content-range')?.startsWith(`bytes ${received}-`)) {
    fail('DOWNLOAD_FAILED', `${options.url}: the server continued at another place than asked`);
  }
  const file = await open(part, 'a');
  try {
    for await (const chunk of response.body ?? []) {
      watch.feed();
      await file.writeFile(chunk);
      received += chunk.length;
      options.onProgress(received, total);
    }
    await file.sync();
  } catch (cause) {
    throw new Interrupted(watch.reason ?? `the connection broke off after ${received} bytes: ${networkReason(cause)}`, {
      cause,
    });
  } finally {
    await file.close();
  }
  if (total !== null && received < total)
    throw new Interrupted(`the connection ended after ${received} of ${total} bytes`);
}

async function checkDigest(part: string, expected: string | undefined, url: string): Promise<void> {
  if (expected === undefined) return;
  const hash = createHash('sha256');
  const file = await open(part, 'r');
  for await (const chunk of file.createReadStream()) hash.update(chunk as Buffer);
  const found = hash.digest('hex');
  if (found === expected) return;
  rmSync(part, { force: true });
  rmSync(`${part}.etag`, { force: true });
  fail('DIGEST_MISMATCH', `${url}: has the sha256 ${found}, expected ${expected}`);
}

/** Aborts a transfer that does not begin, or stops, or that the caller cancels. */
class Watchdog {
  readonly #controller = new AbortController();
  readonly #idleTimeoutMs: number;
  readonly signal: AbortSignal;
  reason: string | undefined;
  #timer: NodeJS.Timeout;

  constructor({ connectTimeoutMs, idleTimeoutMs, signal }: DownloadOptions) {
    this.#idleTimeoutMs = idleTimeoutMs;
    this.signal = signal ? AbortSignal.any([signal, this.#controller.signal]) : this.#controller.signal;
    this.#timer = setTimeout(() => this.#bark(`no answer within ${connectTimeoutMs} ms`), connectTimeoutMs);
  }

  /** Something came. */
  feed(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#bark(`nothing came for ${this.#idleTimeoutMs} ms`), this.#idleTimeoutMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #bark(reason: string): void {
    this.reason = reason;
    this.#controller.abort();
  }
}

/** The reason of a failed fetch is its cause: `fetch failed` alone says nothing. */
function networkReason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? errorMessage(error) : errorMessage(cause) || errorMessage(error);
}

function sha256Of(etag: string | null): string | undefined {
  return /^"?([0-9a-f]{64})"?$/.exec(etag ?? '')?.[1];
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
