import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '../base/index.ts';
import { ACME_KEY, BASE, EchoServices } from '../../test/conformance/http/in-memory-services.ts';
import { startServer, type RunningServer } from './server.ts';

const DRAIN_MS = 300;
/** How long a test waits for something that must happen. */
const PATIENCE_MS = 10_000;
/** How long Node keeps an idle connection. */
const KEEP_ALIVE_MS = 5_000;

let services: EchoServices;
let server: RunningServer;

beforeEach(async () => {
  services = new EchoServices();
  server = await startServer(services, { host: '127.0.0.1', port: 0, log: silentLog, drainMs: DRAIN_MS });
});
afterEach(async () => {
  await server.close();
  assert.equal(services.numAdmitted, 0, 'every request was released');
  assert.equal(services.numAnswering, 0, 'every answer was ended');
});

function chat(body: object, options: RequestInit = {}): Promise<Response> {
  return fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${ACME_KEY}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ model: BASE.name, messages: [{ role: 'user', content: 'hello dear world' }], ...body }),
    ...options,
  });
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; !condition();) {
    assert.ok(performance.now() < deadline, `waited for: ${what}`);
    await sleep(5);
  }
}

/** A client that sends a streaming request by hand, and reads only when it is told to. */
async function rawStream(content: string): Promise<Socket> {
  const { hostname, port } = new URL(server.url);
  const socket = connect({ host: hostname, port: Number(port) });
  await once(socket, 'connect');
  const body = JSON.stringify({ model: BASE.name, messages: [{ role: 'user', content }], stream: true });
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${ACME_KEY}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  return socket;
}

const pause = async (signal: AbortSignal): Promise<void> => {
  await sleep(60_000, undefined, { signal }).catch(() => undefined);
};

test('a client that goes while the answer is being made stops it', async () => {
  services.behaviour = { wait: pause };
  for (const stream of [false, true]) {
    const leaving = new AbortController();
    const response = chat({ stream }, { signal: leaving.signal });
    response.catch(() => undefined);
    await until(() => services.numAnswering === 1, 'the request to arrive');
    leaving.abort();
    await assert.rejects(response, { name: 'AbortError' });
    await until(() => services.numAnswering === 0, 'the answer to stop');
    await until(() => services.numAdmitted === 0, 'the admission to end');
  }
});

test('a client that goes in the midst of a stream stops it', async () => {
  services.behaviour = { isEndless: true };
  const socket = await rawStream('forever ');
  await once(socket, 'data');
  socket.destroy();
  await until(() => services.numAnswering === 0 && services.numAdmitted === 0, 'the answer to stop');
});

test('a client that does not read holds up its own answer, and no memory grows', async () => {
  services.behaviour = { isEndless: true };
  const socket = await rawStream('x'.repeat(64 * 1024));
  socket.pause();
  let before = -1;
  await until(() => services.numDeltas > 0, 'the answer to begin');
  // It goes on until the buffers of both sockets are full, and then it stands.
  for (const deadline = performance.now() + PATIENCE_MS; services.numDeltas !== before;) {
    assert.ok(performance.now() < deadline, `${services.numDeltas} deltas were made for a client that reads none`);
    before = services.numDeltas;
    await sleep(100);
  }
  socket.resume();
  await until(() => services.numDeltas > before, 'the answer to go on when the client reads');
  socket.destroy();
});

test('closing lets an answer finish, and takes no new requests', async () => {
  let go = (): void => undefined;
  const gate = new Promise<void>((resolve) => (go = resolve));
  services.behaviour = { wait: () => gate };
  const answering = chat({ stream: true });
  await until(() => services.numAnswering === 1, 'the request to arrive');
  const closing = server.close();
  await assert.rejects(chat({}), TypeError);
  go();
  assert.match(await (await answering).text(), /world.*\[DONE\]/s);
  await closing;
});

test('closing does not wait for a connection whose answer has just ended', async () => {
  await server.close();
  server = await startServer(services, { host: '127.0.0.1', port: 0, log: silentLog, drainMs: 10 * PATIENCE_MS });
  let go = (): void => undefined;
  const gate = new Promise<void>((resolve) => (go = resolve));
  services.behaviour = { wait: async () => (services.numDeltas === 0 ? undefined : gate) };
  // Its headers are out before the closing, so they could not say that the connection will be closed.
  const response = await chat({ stream: true });
  const closing = server.close();
  go();
  await response.text();
  const begun = performance.now();
  await closing;
  assert.ok(performance.now() - begun < KEEP_ALIVE_MS / 2);
});

test('closing aborts what takes too long, with an error frame and no [DONE]', async () => {
  let numWaits = 0;
  services.behaviour = { wait: async (signal) => (numWaits++ === 0 ? undefined : pause(signal)) };
  const response = await chat({ stream: true });
  const begun = performance.now();
  const [text] = await Promise.all([response.text(), server.close()]);
  assert.ok(performance.now() - begun < PATIENCE_MS);
  assert.match(text, /"request_cancelled"/);
  assert.doesNotMatch(text, /\[DONE\]/);
});

test('closing does not wait for idle connections, and may be asked twice', async () => {
  await (await chat({})).text();
  const begun = performance.now();
  await Promise.all([server.close(), server.close()]);
  assert.ok(performance.now() - begun < DRAIN_MS, 'at once');
});

test('a server that is closing is not ready', async () => {
  services.behaviour = { wait: pause };
  const leaving = new AbortController();
  const answer = chat({ stream: true }, { signal: leaving.signal });
  answer.catch(() => undefined);
  await until(() => services.numAnswering === 1, 'the request to arrive');
  // A second connection, opened before the closing, so that it can still ask.
  const { hostname, port } = new URL(server.url);
  const socket = connect({ host: hostname, port: Number(port) });
  await once(socket, 'connect');
  socket.write('GET /readyz HTTP/1.1\r\nHost: x\r\n');
  await sleep(50);
  const closing = server.close();
  socket.write('\r\n');
  const [data] = (await once(socket, 'data')) as [Buffer];
  assert.match(data.toString(), /^HTTP\/1\.1 503 /);
  assert.match(data.toString(), /connection: close/i);
  socket.destroy();
  leaving.abort();
  await closing;
});

test('an address that is taken is named', async () => {
  const port = Number(new URL(server.url).port);
  await assert.rejects(startServer(services, { host: '127.0.0.1', port, log: silentLog }), {
    code: 'CONFIG_INVALID',
    message: `cannot listen on 127.0.0.1 port ${port}: it is in use: choose another port`,
  });
});
