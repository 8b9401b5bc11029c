/** What the client does beside calling: trying again, streams that break, requests that are given up. Whole calls are in test/conformance/http. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { ApiError, EspalierClient } from './index.ts';

let answers: ((request: IncomingMessage, response: ServerResponse) => void)[] = [];
let asked: string[] = [];
const server = createServer((request, response) => {
  asked.push(`${request.method} ${request.url}`);
  const answer = answers.shift();
  if (answer) answer(request, response);
  else response.writeHead(500).end();
});
let baseUrl: string;
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
beforeEach(() => {
  answers = [];
  asked = [];
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const ok = (_: IncomingMessage, response: ServerResponse): void =>
  void response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"status":"ok"}');
const refused =
  (status: number, headers: Record<string, string> = {}) =>
  (_: IncomingMessage, response: ServerResponse): void =>
    void response
      .writeHead(status, { 'x-request-id': 'req_1', ...headers })
      .end('{"error":{"message":"no","type":"t","param":"model","code":"c"}}');
const events =
  (...lines: readonly string[]) =>
  (_: IncomingMessage, response: ServerResponse): void =>
    void response
      .writeHead(200, { 'Content-Type': 'text/event-stream' })
      .end(lines.map((line) => `data: ${line}\n\n`).join(''));

async function errorOf(promise: Promise<unknown>): Promise<ApiError> {
  const error: unknown = await promise.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  assert.ok(error instanceof ApiError, String(error));
  return error;
}

test('a refusal that says when to come again is tried again, as often as it may', async () => {
  const client = new EspalierClient({ baseUrl: `${baseUrl}/`, maxRetries: 2 });
  answers = [refused(503, { 'retry-after': '0' }), refused(429, { 'retry-after': '0' }), ok];
  assert.deepEqual(await client.call('getHealth'), { status: 'ok' });
  assert.deepEqual(
    asked,
    Array.from({ length: 3 }, () => 'GET /healthz'),
  );

  answers = Array.from({ length: 4 }, () => refused(429, { 'retry-after': '0' }));
  const { status, code, param, type, requestId, message } = await errorOf(client.call('getHealth'));
  assert.deepEqual([status, code, param, type, requestId, message], [429, 'c', 'model', 't', 'req_1', 'no']);
  assert.equal(asked.length, 6);
});

test('another refusal, one that names no time, and one with a longer wait than is allowed are not', async () => {
  const client = new EspalierClient({ baseUrl, maxWaitMs: 1000 });
  for (const answer of [refused(400, { 'retry-after': '0' }), refused(503), refused(429, { 'retry-after': '2' })]) {
    answers = [answer, ok];
    await errorOf(client.call('getHealth'));
  }
  assert.equal(asked.length, 3);
});

test('an answer that is no JSON is an error with its words', async () => {
  answers = [(_, response) => void response.writeHead(502).end('<html>Bad Gateway</html>')];
  const error = await errorOf(new EspalierClient({ baseUrl }).call('getHealth'));
  assert.deepEqual([error.status, error.code, error.message], [502, null, '<html>Bad Gateway</html>']);
});

test('a stream ends at its end, and breaks where the server says so or is gone', async () => {
  const client = new EspalierClient({ baseUrl });
  const body = { model: 'm', messages: [{ role: 'user' as const, content: 'x' }] };
  const read = async (): Promise<string[]> => {
    const ids: string[] = [];
    for await (const { id } of client.stream('createChatCompletion', { body })) ids.push(id);
    return ids;
  };
  const chunk = (id: string): string => JSON.stringify({ id, choices: [] });
  answers = [events(chunk('a'), chunk('b'), '[DONE]', chunk('c'))];
  assert.deepEqual(await read(), ['a', 'b']);
  answers = [events(chunk('a'), '{"error":{"message":"the engine ended","code":"engine_unavailable"}}')];
  assert.equal((await errorOf(read())).code, 'engine_unavailable');
  answers = [events(chunk('a'))];
  assert.match((await errorOf(read())).message, /ended/);
});

test('leaving the loop gives the request up', async () => {
  const gone = Promise.withResolvers<void>();
  answers = [
    (_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write('data: {"id":"a","choices":[]}\n\n');
      response.once('close', gone.resolve);
    },
  ];
  const body = { model: 'm', messages: [{ role: 'user' as const, content: 'x' }] };
  for await (const { id } of new EspalierClient({ baseUrl }).stream('createChatCompletion', { body })) {
    assert.equal(id, 'a');
    break;
  }
  await gone.promise;
});

test('a signal ends a wait', async () => {
  answers = [refused(429, { 'retry-after': '20' })];
  const controller = new AbortController();
  const called = new EspalierClient({ baseUrl }).call('getHealth', {}, { signal: controller.signal });
  setTimeout(() => controller.abort(new Error('enough')), 20);
  await assert.rejects(called, /enough|abort/i);
});

test('parameters are written into the address, and one that is missing is named', async () => {
  const client = new EspalierClient({ baseUrl });
  answers = [ok, ok];
  await client.call('retrieveModel', { path: { model: 'acme/a b@1' } });
  await client.call('listFiles', { query: { limit: 2, after: 'file-&' } });
  assert.deepEqual(asked, ['GET /v1/models/acme%2Fa%20b%401', 'GET /v1/files?limit=2&after=file-%26']);
  await assert.rejects(client.call('retrieveModel', { path: { model: '' } }), /path\.model is missing/);
});
