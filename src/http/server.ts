import { createServer, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import { assert, fail, type Clock, type Log } from '../base/index.ts';
import { createApp } from './app.ts';
import { readConsoleFiles } from './console-files.ts';
import type { Services } from './services.ts';

export interface ServerOptions {
  /** An address of this machine; `127.0.0.1` is reachable from here only. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly log: Log;
  readonly clock?: Clock;
  readonly maxBodyBytes?: number;
  /** The folder of the built console; none is served where it does not exist. */
  readonly consoleFolder?: string | undefined;
  /** How long {@link RunningServer.close} lets requests finish; 30 s unless told. */
  readonly drainMs?: number;
}

export interface RunningServer extends AsyncDisposable {
  /** `http://127.0.0.1:8080`. */
  readonly url: string;
  /**
   * Takes no new connections, lets requests in flight finish within the time limit, aborts what is left (its client gets an error
   * frame, not an early end), and resolves when every connection is closed and every answer has ended.
   */
  close(): Promise<void>;
}

const DRAIN_MS = 30_000;
/** After an abort: the time to write the error frames. */
const ABORT_MS = 2_000;
const IDLE_SWEEP_MS = 50;

/** Listens. @throws CONFIG_INVALID the address cannot be taken */
export async function startServer(services: Services, options: ServerOptions): Promise<RunningServer> {
  const { host, port, drainMs = DRAIN_MS, consoleFolder, ...rest } = options;
  const shutdown = new AbortController();
  const unfinished = new Set<Promise<void>>();
  let isClosing = false;
  const app = createApp(services, {
    ...rest,
    isLocal: isLoopback(host),
    console: consoleFolder === undefined ? undefined : readConsoleFiles(consoleFolder),
    shutdown: shutdown.signal,
    isClosing: () => isClosing,
    track(isOver) {
      unfinished.add(isOver);
      void isOver.then(() => unfinished.delete(isOver));
    },
  });
  const listener = getRequestListener(app.fetch);
  const server = createServer((incoming, outgoing) => void listener(incoming, outgoing));
  await listen(server, host, port);
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    isClosing = true;
    return (closed ??= drain(server, shutdown, unfinished, drainMs));
  };
  return { url: urlOf(server), close, [Symbol.asyncDispose]: close };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  }).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'EADDRINUSE' ? 'it is in use: choose another port' : error.message;
    fail('CONFIG_INVALID', `cannot listen on ${host} port ${port}: ${why}`, { param: 'port', cause: error });
  });
}

async function drain(
  server: Server,
  shutdown: AbortController,
  unfinished: ReadonlySet<Promise<void>>,
  drainMs: number,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // A connection whose request has just ended is idle, and would be kept alive for seconds.
  const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
  const abort = setTimeout(() => shutdown.abort(), drainMs);
  const force = setTimeout(() => server.closeAllConnections(), drainMs + ABORT_MS);
  await closed;
  for (const timer of [sweep, abort, force]) clearTimeout(timer);
  // What is left has lost its client and is coming to its end.
  await Promise.race([Promise.all(unfinished), sleep(ABORT_MS, undefined, { ref: false })]);
}

function urlOf(server: Server): string {
  const address = server.address();
  assert(address !== null && typeof address === 'object', 'a server that listens has an address');
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${host}:${address.port}`;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
