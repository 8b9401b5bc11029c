import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How the server behaves for one path. */
export interface ServedFile {
  readonly bytes: Uint8Array;
  /** Breaks the connection after so many bytes of the body, this many times. */
  readonly cut?: { readonly afterBytes: number; times: number };
  /** Sends the first bytes and then nothing more. */
  readonly stallAfterBytes?: number;
  /** Answers with a redirect to another path first, as a hub does for large files. */
  readonly redirectTo?: string;
  /** What the redirect announces as the content's sha256. */
  readonly announced?: string;
}

/** A file server on 127.0.0.1 that understands Range and If-Range, for tests. */
export class FileServer implements AsyncDisposable {
  readonly files = new Map<string, ServedFile>();
  /** Every request, in order. */
  readonly requests: { path: string; range: string | undefined; authorization: string | undefined; status: number }[] =
    [];
  readonly #server = createServer((request, response) => this.#answer(request, response));

  static async start(files: Record<string, ServedFile> = {}): Promise<FileServer> {
    const server = new FileServer();
    for (const [path, file] of Object.entries(files)) server.files.set(path, file);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    const { range, authorization } = request.headers;
    const served = { path, range, authorization, status: 404 };
    this.requests.push(served);
    const file = this.files.get(path);
    if (!file) return void response.writeHead(404).end();
    if (file.redirectTo !== undefined) {
      served.status = 302;
      const announced = file.announced === undefined ? {} : { 'x-linked-etag': `"${file.announced}"` };
      return void response.writeHead(302, { location: file.redirectTo, ...announced }).end();
    }
    const etag = `"${createHash('sha256').update(file.bytes).digest('hex').slice(0, 16)}"`;
    const asked = request.headers['if-range'] === etag ? /^bytes=(\d+)-$/.exec(range ?? '') : null;
    const start = Number(asked?.[1] ?? 0);
    const total = file.bytes.length;
    const part = { 'content-length': total - start, etag };
    served.status = asked ? 206 : 200;
    response.writeHead(
      served.status,
      asked ? { ...part, 'content-range': `bytes ${start}-${total - 1}/${total}` } : part,
    );
    this.#send(file, start, response);
  }

  #send(file: ServedFile, start: number, response: ServerResponse): void {
    if (file.stallAfterBytes !== undefined) {
      if (file.stallAfterBytes > 0) response.write(file.bytes.subarray(start, start + file.stallAfterBytes));
    } else if (file.cut && file.cut.times > 0) {
      file.cut.times--;
      response.flushHeaders();
      response.write(file.bytes.subarray(start, start + file.cut.afterBytes), () =>
        setTimeout(() => response.destroy(), 20),
      );
    } else {
      response.end(file.bytes.subarray(start));
    }
  }
}
