import { EventSourceParserStream } from 'eventsource-parser/stream';
import { ApiError } from './api-error.ts';
import {
  addressOf,
  bodyOf,
  type Answer,
  type AnyInput,
  type Input,
  type OperationId,
  type StreamedId,
  type StreamEvent,
} from './operation.ts';
import { OPERATIONS } from './operations.ts';

export interface ClientOptions {
  /** Where the server is, without `/v1`: `http://127.0.0.1:8080`. */
  readonly baseUrl: string;
  /** `esp_…`. Routes such as /healthz need none. */
  readonly apiKey?: string | undefined;
  /** How often a refusal that says when to come again (429, 503 with Retry-After) is tried again; 2 unless told. */
  readonly maxRetries?: number | undefined;
  /** The longest wait for that; 30 seconds unless told, and a longer one is not waited for. */
  readonly maxWaitMs?: number | undefined;
  /** Instead of the runtime's own. */
  readonly fetch?: typeof fetch | undefined;
}

export interface CallOptions {
  /** Gives the call up; the server frees what it has taken. */
  readonly signal?: AbortSignal | undefined;
}

/** An answer with what its headers say: `X-Request-Id`, `X-Adapter-Digest`, `X-RateLimit-…`. */
export interface Answered<T> {
  readonly answer: T;
  readonly headers: Headers;
}

const DEFAULT_RETRIES = 2;
const DEFAULT_MAX_WAIT_MS = 30_000;

/** What a call takes beside its operation's name: an input that may be empty may be left out. */
type Arguments<Id extends OperationId> =
  object extends Input<Id> ? [input?: Input<Id>, options?: CallOptions] : [input: Input<Id>, options?: CallOptions];

/**
 * Calls the operations of a server by their names. Every name, field and answer is typed from the server's own schemas.
 *
 *     const client = new EspalierClient({ baseUrl: 'http://127.0.0.1:8080', apiKey });
 *     const job = await client.call('createFineTuningJob', { body: { model: 'smollm2-135m-instruct', training_file } });
 *     await client.call('promoteTask', { path: { task: 'triage' }, body: { version: 3 } });
 *     for await (const chunk of client.stream('createChatCompletion', { body })) …
 *
 * All of them throw {@link ApiError} where the server answers with an error, and what fetch throws where there is no answer.
 */
export class EspalierClient {
  readonly #options: ClientOptions;
  readonly #baseUrl: string;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#baseUrl = options.baseUrl.replace(/\/+$/, '');
  }

  /** The answer of an operation. */
  async call<Id extends OperationId>(id: Id, ...args: Arguments<Id>): Promise<Answer<Id>> {
    return (await this.callWithHeaders(id, ...args)).answer;
  }

  /** The same, with the headers of the answer. */
  async callWithHeaders<Id extends OperationId>(id: Id, ...args: Arguments<Id>): Promise<Answered<Answer<Id>>> {
    const response = await this.#send(id, args[0] ?? {}, args[1]);
    return { answer: (await readAnswer(id, response)) as Answer<Id>, headers: response.headers };
  }

  /** The events of an answer, as they come. Leaving the loop gives the request up. `stream` is set in the body. */
  async *stream<Id extends StreamedId>(
    id: Id,
    input: Input<Id>,
    options: CallOptions = {},
  ): AsyncGenerator<StreamEvent<Id>, void, undefined> {
    const given: AnyInput = input;
    const left = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, left.signal]) : left.signal;
    const body = { ...(given.body as object), stream: true };
    const response = await this.#send(id, { ...given, body }, { signal });
    if (!response.body) throw new ApiError(response.status, undefined, response.headers.get('x-request-id'));
    try {
      const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
      for await (const { data } of events) {
        if (data === '[DONE]') return;
        const event: unknown = JSON.parse(data);
        // What fails after the first byte can only be said in the stream.
        if (isError(event)) throw new ApiError(response.status, event, response.headers.get('x-request-id'));
        yield event as StreamEvent<Id>;
      }
      const body = { error: { message: 'the stream ended before its end' } };
      throw new ApiError(response.status, body, response.headers.get('x-request-id'));
    } finally {
      left.abort();
    }
  }

  async #send(id: OperationId, input: AnyInput, { signal }: CallOptions = {}): Promise<Response> {
    const { apiKey, fetch: send = fetch, maxRetries = DEFAULT_RETRIES } = this.#options;
    const { body, contentType } = bodyOf(id, input.body);
    const given = Object.entries<unknown>({ ...input.headers }).filter(([, value]) => value !== undefined);
    const headers = new Headers(given.map(([name, value]): [string, string] => [name, String(value)]));
    if (apiKey !== undefined) headers.set('Authorization', `Bearer ${apiKey}`);
    if (contentType !== undefined) headers.set('Content-Type', contentType);
    const request: RequestInit = { method: OPERATIONS[id].method, headers };
    if (body !== undefined) request.body = body;
    if (signal) request.signal = signal;
    for (let numTries = 0; ; numTries++) {
      const response = await send(addressOf(this.#baseUrl, id, input), request);
      if (response.ok) return response;
      const error = new ApiError(response.status, await readJson(response), response.headers.get('x-request-id'));
      const waitMs = this.#waitMs(response);
      if (waitMs === null || numTries >= maxRetries) throw error;
      await wait(waitMs, signal);
    }
  }

  /** How long the server asks to wait before the same request may pass; null: it would not. */
  #waitMs({ status, headers }: Response): number | null {
    if (status !== 429 && status !== 503) return null;
    const seconds = Number(headers.get('retry-after') ?? Number.NaN);
    const { maxWaitMs = DEFAULT_MAX_WAIT_MS } = this.#options;
    return seconds * 1000 <= maxWaitMs ? seconds * 1000 : null;
  }
}

async function readAnswer(id: OperationId, response: Response): Promise<unknown> {
  switch (OPERATIONS[id].answer) {
    case 'json':
      return await response.json();
    case 'text':
      return await response.text();
    case 'bytes':
      return await response.blob();
  }
}

/** Of an error; a proxy between may answer with something else. */
async function readJson(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return { error: { message: text.slice(0, 200) || response.statusText } };
    throw error;
  }
}

function isError(event: unknown): boolean {
  return typeof event === 'object' && event !== null && 'error' in event && !('choices' in event);
}

function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = (): void => {
    clearTimeout(timer);
    reject(signal?.reason as Error);
  };
  const timer = setTimeout(() => {
    signal?.removeEventListener('abort', stop);
    resolve();
  }, ms);
  if (signal?.aborted) stop();
  else signal?.addEventListener('abort', stop, { once: true });
  return promise;
}
