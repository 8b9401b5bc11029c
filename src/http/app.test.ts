import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import type { Hono } from 'hono';
import { EspalierError, ERRORS, type Clock, type Log } from '../base/index.ts';
import {
  ACME_DIGEST,
  ACME_KEY,
  BASE,
  EchoServices,
  GLOBEX_KEY,
  OPERATOR_KEY,
} from '../../test/conformance/http/in-memory-services.ts';
import { createApp } from './app.ts';
import { wireError } from './error-response.ts';
import type { ChatDelta } from './services.ts';
import { chatCompletion, chatCompletionChunk } from './wire/chat-response.ts';

const clock: Clock = { nowMs: () => 5, epochMs: () => 1_700_000_000_999 };
const HELLO = { model: BASE.name, messages: [{ role: 'user', content: 'hello dear world' }] };

let services: EchoServices;
let app: Hono;
let logged: { level: string; fields: Record<string, unknown>; message: string }[];

beforeEach(() => {
  logged = [];
  const to =
    (level: string): Log['info'] =>
    (fields, message) =>
      void logged.push({ level, fields, message });
  services = new EchoServices();
  app = createApp(services, {
    log: { info: to('info'), warn: to('warn'), error: to('error') },
    clock,
    maxBodyBytes: 4096,
  });
});

function get(path: string, key: string | null = ACME_KEY, headers: Record<string, string> = {}): Promise<Response> {
  return Promise.resolve(
    app.request(path, { headers: { ...(key === null ? {} : { Authorization: `Bearer ${key}` }), ...headers } }),
  );
}

function post(body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return Promise.resolve(
    app.request('/v1/chat/completions', {
      method: 'POST',
      headers: { Authorization: `Bearer ${ACME_KEY}`, 'Content-Type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    }),
  );
}

interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
  };
}

async function errorOf(response: Response): Promise<ErrorBody['error']> {
  assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
  const body = (await response.json()) as ErrorBody;
  assert.deepEqual(Object.keys(body), ['error']);
  assert.deepEqual(Object.keys(body.error).sort(), ['code', 'message', 'param', 'type']);
  return body.error;
}

/** The data of every frame. */
async function framesOf(response: Response): Promise<string[]> {
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  const text = await response.text();
  assert.ok(text.endsWith('\n\n'));
  return text
    .slice(0, -2)
    .split('\n\n')
    .map((frame) => {
      assert.match(frame, /^data: [^\n]+$/);
      return frame.slice('data: '.length);
    });
}

function assertNothingHeld(): void {
  assert.equal(services.numAdmitted, 0, 'requests admitted');
  assert.equal(services.numAnswering, 0, 'requests being answered');
}

test('answers whole, in the documented shape', async () => {
  const response = await post({ ...HELLO, model: 'acme/spam', max_tokens: 2, n: 2 });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-adapter-digest'), ACME_DIGEST);
  assert.match(response.headers.get('x-request-id') ?? '', /^req_/);
  const body = chatCompletion.strict().parse(await response.json());
  const { id, ...rest } = body;
  assert.match(id, /^chatcmpl-/);
  const choice = (index: number): unknown => ({
    index,
    message: { role: 'assistant', content: 'HELLO DEAR ', refusal: null },
    logprobs: null,
    finish_reason: 'length',
  });
  assert.deepEqual(rest, {
    object: 'chat.completion',
    created: 1_700_000_000,
    model: 'acme/spam@1',
    system_fingerprint: ACME_DIGEST,
    service_tier: 'default',
    choices: [choice(0), choice(1)],
    usage: { prompt_tokens: 1, completion_tokens: 4, total_tokens: 5, prompt_tokens_details: { cached_tokens: 1 } },
  });
  assertNothingHeld();
});

test('the base names itself and no adapter', async () => {
  const response = await post(HELLO);
  assert.equal(response.headers.get('x-adapter-digest'), null);
  const body = chatCompletion.parse(await response.json());
  assert.equal(body.system_fingerprint, BASE.digest);
  assert.equal(body.choices[0]?.message.content, 'hello dear world');
});

test('streams the same answer in chunks, then the usage, then [DONE]', async () => {
  const response = await post({ ...HELLO, stream: true, stream_options: { include_usage: true } });
  assert.equal(response.status, 200);
  const frames = await framesOf(response);
  assert.equal(frames.pop(), '[DONE]');
  const chunks = frames.map((frame) => chatCompletionChunk.strict().parse(JSON.parse(frame)));
  assert.deepEqual(
    chunks.map(({ choices }) => choices[0]?.delta),
    [
      { role: 'assistant', content: '' },
      { content: 'hello ' },
      { content: 'dear ' },
      { content: 'world' },
      {},
      undefined,
    ],
  );
  assert.deepEqual(
    chunks.map(({ choices }) => choices[0]?.finish_reason),
    [null, null, null, null, 'stop', undefined],
  );
  assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
  assert.deepEqual(chunks.at(-1)?.usage, {
    prompt_tokens: 1,
    completion_tokens: 3,
    total_tokens: 4,
    prompt_tokens_details: { cached_tokens: 1 },
  });
  assertNothingHeld();
});

test('a stream without include_usage has no usage, and its choices are told apart', async () => {
  const frames = await framesOf(await post({ ...HELLO, model: 'acme/spam', stream: true, n: 2 }));
  assert.equal(frames.pop(), '[DONE]');
  const chunks = frames.map((frame) => chatCompletionChunk.parse(JSON.parse(frame)));
  assert.ok(chunks.every((chunk) => !('usage' in chunk) && chunk.choices.length === 1));
  for (const index of [0, 1]) {
    const mine = chunks.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
    assert.equal(mine.map(({ delta }) => delta.content ?? '').join(''), 'HELLO DEAR WORLD');
  }
});

test('what fails before the first byte has its status, also for a stream', async () => {
  services.behaviour = {
    failAt: { delta: 0, error: new EspalierError('CONTEXT_TOO_LONG', '9 tokens, 8 fit', { param: 'messages' }) },
  };
  for (const stream of [false, true]) {
    const response = await post({ ...HELLO, stream });
    assert.equal(response.status, 400);
    const expected = {
      message: '9 tokens, 8 fit',
      type: 'invalid_request_error',
      param: 'messages',
      code: 'context_length_exceeded',
    };
    assert.deepEqual(await errorOf(response), expected);
    assertNothingHeld();
  }
});

test('what fails after the first byte is one error frame and no [DONE]', async () => {
  services.behaviour = { failAt: { delta: 2, error: new EspalierError('ADAPTER_UNAVAILABLE', 'gone') } };
  const response = await post({ ...HELLO, stream: true });
  assert.equal(response.status, 200);
  const frames = await framesOf(response);
  assert.equal(frames.length, 4);
  assert.deepEqual(JSON.parse(frames.at(-1) ?? ''), {
    error: { message: 'gone', type: 'service_unavailable_error', param: null, code: 'model_unavailable' },
  });
  assertNothingHeld();
});

test('an internal error tells the client a request id and nothing else, and the log everything', async () => {
  const secrets = [new Error('secret /etc/path'), new EspalierError('FILE_NOT_FOUND', 'secret /etc/path')];
  for (const [n, error] of secrets.entries()) {
    for (const delta of [0, 1]) {
      services.behaviour = { failAt: { delta, error } };
      const response = await post({ ...HELLO, stream: true });
      const requestId = response.headers.get('x-request-id') ?? '';
      assert.equal(response.status, delta === 0 ? 500 : 200);
      const text = await response.text();
      assert.ok(!text.includes('secret'), `${n} ${delta}: ${text}`);
      assert.ok(text.includes(requestId) && text.includes('internal_error') && !text.includes('[DONE]'));
      const entry = logged.find(({ level, fields }) => level === 'error' && fields['requestId'] === requestId);
      assert.match(String(entry?.fields['error']), /secret/);
    }
  }
  assertNothingHeld();
});

test('an engine that breaks its contract is our error', async () => {
  services.chat = async function* () {
    yield { index: 0, text: 'never ended' };
  };
  assert.equal((await post(HELLO)).status, 500);
  const frames = await framesOf(await post({ ...HELLO, stream: true }));
  assert.ok(frames.at(-1)?.includes('internal_error'));
  assert.equal(services.numAdmitted, 0);
});

test('a client that leaves a stream stops the answer, whenever it leaves', async () => {
  services.behaviour = { isEndless: true };
  for (const numReads of [0, 1, 5]) {
    const response = await post({ ...HELLO, stream: true });
    const reader = response.body?.getReader();
    assert.ok(reader);
    for (let n = 0; n < numReads; n++) assert.equal((await reader.read()).done, false);
    assert.equal(services.numAdmitted, 1);
    await reader.cancel();
    assertNothingHeld();
  }
});

test('a client that leaves while the next word is awaited stops the answer', async () => {
  const { promise: isAwaited, resolve: tell } = Promise.withResolvers<void>();
  services.behaviour = {
    isEndless: true,
    wait: async (signal) => {
      if (services.numDeltas < 2) return;
      tell();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  };
  const response = await post({ ...HELLO, stream: true });
  const reader = response.body?.getReader();
  assert.ok(reader);
  for (let n = 0; n < 3; n++) await reader.read();
  const pending = reader.read();
  await isAwaited;
  await reader.cancel();
  assert.equal((await pending).done, true);
  assertNothingHeld();
});

test('a client that leaves while the end is being made is released once', async () => {
  const gate = Promise.withResolvers<void>();
  const { promise: isEnding, resolve: tell } = Promise.withResolvers<void>();
  const chat = services.chat.bind(services);
  services.chat = (...args) => {
    const returns = async (): Promise<IteratorResult<ChatDelta>> => {
      tell();
      await gate.promise;
      return { done: true, value: undefined };
    };
    return Object.assign(chat(...args), { return: returns });
  };
  const response = await post({ ...HELLO, stream: true });
  const reader = response.body?.getReader();
  assert.ok(reader);
  const decoder = new TextDecoder();
  for (let frame = ''; !frame.includes('[DONE]'); frame = decoder.decode((await reader.read()).value));
  const pending = reader.read();
  await isEnding;
  const cancelled = reader.cancel();
  gate.resolve();
  await cancelled;
  assert.equal((await pending).done, true);
  assertNothingHeld();
});

test('a stream is made no faster than it is read', async () => {
  services.behaviour = { isEndless: true };
  const response = await post({ ...HELLO, stream: true });
  const reader = response.body?.getReader();
  assert.ok(reader);
  for (let n = 0; n < 4; n++) await reader.read();
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(services.numDeltas, 3, 'one read is the role, each other one delta');
  await reader.cancel();
});

test('the task may come in metadata or in a header', async () => {
  const byBody = await post({ ...HELLO, metadata: { task: 'spam', team: 'a' } });
  const byHeader = await post(HELLO, { 'X-Task': 'spam' });
  for (const response of [byBody, byHeader]) assert.equal(response.headers.get('x-adapter-digest'), ACME_DIGEST);
  assert.deepEqual(services.selections, [
    { model: 'tiny', task: 'spam' },
    { model: 'tiny', task: 'spam' },
  ]);
  const both = await post({ ...HELLO, metadata: { task: 'ham' } }, { 'X-Task': 'spam' });
  assert.equal((await errorOf(both)).param, 'metadata.task');
  assert.equal((await errorOf(await post(HELLO, { 'X-Task': '../spam' }))).param, 'X-Task');
  assert.equal((await post(HELLO, { 'X-Task': 'ham' })).status, 404);
});

test('an unknown and a foreign model are the same 404', async () => {
  for (const model of ['acme/none', 'globex/none', 'gpt-4o']) {
    const response = await post({ ...HELLO, model });
    assert.equal(response.status, 404);
    const { code, type, param } = await errorOf(response);
    assert.deepEqual({ code, type, param }, { code: 'model_not_found', type: 'invalid_request_error', param: 'model' });
  }
  const foreign = await post({ ...HELLO, model: 'acme/spam' }, { Authorization: `Bearer ${GLOBEX_KEY}` });
  assert.equal(foreign.status, 404);
  assert.equal((await errorOf(foreign)).code, 'model_not_found');
  assertNothingHeld();
});

test('a key is needed for everything but health and the description', async () => {
  for (const path of ['/v1/models', '/v1/models/tiny', '/metrics']) {
    for (const authorization of [undefined, 'Bearer nonsense', `Basic ${ACME_KEY}`, 'Bearer', ACME_KEY]) {
      const response = await get(path, null, authorization === undefined ? {} : { Authorization: authorization });
      assert.equal(response.status, 401, `${path} ${authorization}`);
      assert.equal(response.headers.get('www-authenticate'), 'Bearer');
      assert.equal((await errorOf(response)).code, 'invalid_api_key');
    }
  }
  assert.equal((await post(HELLO, { Authorization: 'Bearer nonsense' })).status, 401);
  for (const path of ['/healthz', '/readyz', '/openapi.json']) assert.equal((await get(path, null)).status, 200, path);
});

test('models are listed and shown, with slashes in the id', async () => {
  assert.deepEqual(await (await get('/v1/models')).json(), {
    object: 'list',
    data: [
      { id: 'tiny', object: 'model', created: 1, owned_by: 'espalier', parent: null },
      { id: 'acme/spam', object: 'model', created: 2, owned_by: 'acme', parent: 'tiny' },
    ],
  });
  for (const path of ['/v1/models/acme/spam', '/v1/models/acme%2Fspam']) {
    const response = await get(path);
    assert.equal(response.status, 200, path);
    assert.equal(((await response.json()) as { id: string }).id, 'acme/spam');
  }
  const foreign = await get('/v1/models/acme%2Fspam', GLOBEX_KEY);
  assert.equal(foreign.status, 404);
  assert.equal((await errorOf(foreign)).code, 'model_not_found');
});

test('too many requests are told to come back', async () => {
  services.limit = 0;
  const response = await post(HELLO);
  assert.equal(response.status, 429);
  assert.equal(response.headers.get('retry-after'), '1');
  assert.equal((await errorOf(response)).code, 'rate_limit_exceeded');
});

test('a body that is no JSON, or too large, is refused', async () => {
  for (const body of ['', '{', '[1,]', 'null', '[]', '"text"']) {
    const response = await post(body);
    assert.equal(response.status, 400, body);
    assert.equal((await errorOf(response)).code, 'invalid_request');
  }
  const invalidUtf8 = await app.request('/v1/chat/completions', {
    method: 'POST',
    headers: { Authorization: `Bearer ${ACME_KEY}` },
    body: new Uint8Array([0x22, 0xff, 0x22]),
  });
  assert.match((await errorOf(invalidUtf8)).message, /UTF-8/);
  const large = JSON.stringify({ ...HELLO, user: 'x'.repeat(5000) });
  for (const headers of [{ 'Content-Length': String(large.length) }, { 'Content-Length': '10' }]) {
    const response = await post(large, headers);
    assert.equal(response.status, 413);
    assert.match((await errorOf(response)).message, /4096 bytes/);
  }
  assert.equal(services.requests.length, 0);
});

test('unknown paths and methods have the same shape', async () => {
  const unknown = await get('/v1/embeddings');
  assert.equal(unknown.status, 404);
  assert.equal((await errorOf(unknown)).code, 'unknown_url');
  for (const [path, method, allow] of [
    ['/v1/chat/completions', 'GET', 'POST'],
    ['/v1/models', 'DELETE', 'GET'],
    ['/v1/models/acme/spam', 'PUT', 'GET'],
    ['/healthz', 'POST', 'GET'],
  ] as const) {
    const response = await app.request(path, { method });
    assert.equal(response.status, 405, path);
    assert.equal(response.headers.get('allow'), allow);
    assert.equal((await errorOf(response)).code, 'method_not_allowed');
  }
});

test('readiness follows the services, health does not', async () => {
  services.isUp = false;
  assert.equal((await get('/healthz')).status, 200);
  const response = await get('/readyz');
  assert.equal(response.status, 503);
  assert.deepEqual(await response.json(), { status: 'unavailable' });
});

test('metrics are for the operator, or for this machine', async () => {
  assert.equal((await get('/metrics', ACME_KEY)).status, 403);
  assert.equal((await get('/metrics', null)).status, 401);
  await post({ ...HELLO, stream: true }).then((response) => response.text());
  await get('/wp-admin/secret-path');
  const response = await get('/metrics', OPERATOR_KEY);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain/);
  const text = await response.text();
  assert.match(text, /^espalier_http_requests_total\{method="POST",route="\/v1\/chat\/completions",status="200"\} 1$/m);
  assert.match(text, /^espalier_http_requests_total\{method="GET",route="unmatched",status="404"\} 1$/m);
  assert.match(text, /^espalier_http_request_seconds_count\{route="\/v1\/chat\/completions"\} 1$/m);
  assert.match(text, /^espalier_http_requests_in_flight 1$/m);
  assert.match(text, /^espalier_engine_steps_total 3$/m);
  assert.ok(!text.includes('secret-path'));

  app = createApp(services, { log: { info() {}, warn() {}, error() {} }, isLocal: true });
  assert.equal((await get('/metrics', null)).status, 200);
  assert.equal((await get('/metrics', null, { 'X-Forwarded-For': '10.0.0.1' })).status, 401, 'a proxy passed it on');
  assert.equal((await get('/metrics', ACME_KEY)).status, 403);
});

test('every kind of error has its status, and only known codes are told', () => {
  const statuses: Partial<Record<string, number>> = {
    REQUEST_INVALID: 400,
    MODEL_NOT_FOUND: 404,
    ADAPTER_NOT_FOUND: 404,
    TENANT_EXISTS: 409,
    KEY_INVALID: 401,
    OVERLOADED: 429,
    ADAPTER_UNAVAILABLE: 503,
    CANCELLED: 499,
    INTERNAL: 500,
    FILE_NOT_FOUND: 500,
    CONFIG_INVALID: 500,
    STORAGE_CORRUPT: 500,
  };
  for (const code of Object.keys(ERRORS) as (keyof typeof ERRORS)[]) {
    const { status, body } = wireError(new EspalierError(code, 'a message'), 'req_1');
    if (statuses[code] !== undefined) assert.equal(status, statuses[code], code);
    assert.equal(body.error.message.includes('a message'), status !== 500, code);
  }
});
