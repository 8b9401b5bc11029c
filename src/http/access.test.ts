/** Who and what is asked: tasks, models, keys, limits, paths, readiness, metrics, errors. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRORS, EspalierError, type ErrorDetails } from '../base/index.ts';
import {
  HELLO,
  app,
  services,
  logged,
  get,
  post,
  errorOf,
  restart,
  assertNothingHeld,
} from '../../test/conformance/http/app-harness.ts';
import {
  ACME_DIGEST,
  ACME_KEY,
  GLOBEX_KEY,
  OPERATOR_KEY,
  READER_KEY,
} from '../../test/conformance/http/in-memory-services.ts';
import { wireError } from './error-response.ts';
import { durationText } from './rate-headers.ts';

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

test('a reader’s key changes nothing and reads no training data', async () => {
  const refused: [method: string, path: string][] = [
    ['POST', '/v1/files'],
    ['DELETE', '/v1/files/file-1'],
    ['GET', '/v1/files/file-1/content'],
    ['POST', '/v1/uploads'],
    ['POST', '/v1/uploads/upload_1/parts'],
    ['POST', '/v1/uploads/upload_1/complete'],
    ['POST', '/v1/uploads/upload_1/cancel'],
    ['POST', '/v1/fine_tuning/jobs'],
    ['POST', '/v1/fine_tuning/jobs/ftjob-1/cancel'],
    ['POST', '/v1/fine_tuning/jobs/ftjob-1/pause'],
    ['POST', '/v1/fine_tuning/jobs/ftjob-1/resume'],
    ['POST', '/api/routes/spam'],
    ['POST', '/api/routes/spam/promote'],
    ['POST', '/api/routes/spam/rollback'],
    ['POST', '/api/routes/spam/gate'],
    ['DELETE', '/api/routes/spam/gate'],
    ['POST', '/api/routes/spam/canary'],
    ['DELETE', '/api/routes/spam/canary'],
    ['POST', '/api/routes/spam/shadow'],
    ['DELETE', '/api/routes/spam/shadow'],
  ];
  for (const [method, path] of refused) {
    const asked = (key: string) =>
      app.request(path, { method, headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' } });
    const response = await asked(READER_KEY);
    assert.equal(response.status, 403, `${method} ${path}`);
    assert.equal((await errorOf(response)).code, 'role_insufficient');
    assert.notEqual((await asked(ACME_KEY)).status, 403, `${method} ${path}`);
  }
  for (const path of ['/v1/files', '/v1/fine_tuning/jobs', '/api/routes']) {
    assert.equal((await get(path, READER_KEY)).status, 200, path);
  }
});

test('models are listed and shown, with slashes in the id', async () => {
  assert.deepEqual(await (await get('/v1/models')).json(), {
    object: 'list',
    data: [
      { id: 'tiny', object: 'model', created: 1, owned_by: 'espalier', parent: null, classes: null },
      { id: 'acme/spam', object: 'model', created: 2, owned_by: 'acme', parent: 'tiny', classes: null },
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
  const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
  for (const field of ['user', 'response_format', 'metadata', 'tools', 'guided_json']) {
    const deep = await post(`{"model":"x","messages":[],"${field}":${nested(2000)}}`);
    assert.equal(deep.status, 400, field);
    assert.match((await errorOf(deep)).message, /nested deeper than 256 levels/);
  }
  const asText = await post({ ...HELLO, guided_json: nested(2000) });
  assert.match((await errorOf(asText)).message, /guided_json: the text is nested deeper than 256 levels/);
  const large = JSON.stringify({ ...HELLO, user: 'x'.repeat(5000) });
  for (const headers of [{ 'Content-Length': String(large.length) }, { 'Content-Length': '10' }]) {
    const response = await post(large, headers);
    assert.equal(response.status, 413);
    assert.match((await errorOf(response)).message, /4096 bytes/);
  }
  assert.equal(services.requests.length, 0);
});

test('unknown paths and methods have the same shape', async () => {
  const unknown = await get('/v1/assistants');
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
  assert.deepEqual(await response.json(), { status: 'unavailable', bases: { tiny: 'unavailable' } });
  assert.equal((await get('/readyz?base=tiny')).status, 503);
  assert.equal((await get('/readyz?base=other')).status, 404);
  services.isUp = true;
  assert.equal((await get('/readyz?base=tiny')).status, 200);
});

test('every answer to a key tells what is left of its tenant’s minute', async () => {
  const headers = (response: Response): Record<string, string> =>
    Object.fromEntries([...response.headers].filter(([name]) => name.startsWith('x-ratelimit-')));
  assert.deepEqual(headers(await post(HELLO)), {});
  services.rateState = { requests: { limit: 60, remaining: 59, resetMs: 1000 }, tokens: null };
  const ofRequests = {
    'x-ratelimit-limit-requests': '60',
    'x-ratelimit-remaining-requests': '59',
    'x-ratelimit-reset-requests': '1s',
  };
  assert.deepEqual(headers(await get('/v1/models')), ofRequests);
  services.rateState = { ...services.rateState, tokens: { limit: 900, remaining: 0, resetMs: 61_500 } };
  const all = {
    ...ofRequests,
    'x-ratelimit-limit-tokens': '900',
    'x-ratelimit-remaining-tokens': '0',
    'x-ratelimit-reset-tokens': '1m1.5s',
  };
  const streamed = await post({ ...HELLO, stream: true });
  assert.deepEqual(headers(streamed), all);
  await streamed.text();
  assert.deepEqual(headers(await post({ ...HELLO, model: 'acme/none' })), all, 'also of a refusal');
  assert.deepEqual(headers(await get('/healthz', null)), {});
  assert.equal(durationText(17), '17ms');
});

test('a request keeps the id that its client gave it, if a log can hold it', async () => {
  const given = await post(HELLO, { 'X-Request-Id': 'trace-1:a.B_2' });
  assert.equal(given.headers.get('x-request-id'), 'trace-1:a.B_2');
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(logged.some(({ fields }) => fields['requestId'] === 'trace-1:a.B_2'));
  for (const id of ['', 'a b', 'x'.repeat(129), 'é']) {
    assert.match((await post(HELLO, { 'X-Request-Id': id })).headers.get('x-request-id') ?? '', /^req_/);
  }
});

test('tenants see themselves, the operator sees and changes all', async () => {
  const list = async (key: string): Promise<string[]> =>
    ((await (await get('/api/tenants', key)).json()) as { data: { name: string }[] }).data.map(({ name }) => name);
  assert.deepEqual(await list(OPERATOR_KEY), ['acme', 'globex']);
  assert.deepEqual(await list(GLOBEX_KEY), ['globex']);
  const shown = (await (await get('/api/tenants/acme')).json()) as Record<string, unknown>;
  assert.deepEqual(shown, {
    object: 'tenant',
    name: 'acme',
    created_at: 1,
    weight: null,
    max_concurrency: null,
    requests_per_minute: null,
    tokens_per_minute: null,
    max_priority: null,
    max_adapters: null,
    max_adapter_bytes: null,
    usage: {
      requests_in_flight: 1,
      requests_remaining: null,
      tokens_remaining: 7,
      adapters: 2,
      adapter_bytes: 300,
      requests_today: 4,
      prompt_tokens_today: 5,
      completion_tokens_today: 6,
    },
  });
  const change = (name: string, body: unknown, key: string): Promise<Response> =>
    Promise.resolve(
      app.request(`/api/tenants/${name}`, {
        method: 'PATCH',
        headers: { Authorization: `Bearer ${key}` },
        body: JSON.stringify(body),
      }),
    );
  const limits = { weight: 2, max_concurrency: 3, requests_per_minute: 4, tokens_per_minute: 5 };
  const more = { max_priority: 6, max_adapters: 7, max_adapter_bytes: 8 };
  const changed = (await (await change('acme', { ...limits, ...more }, OPERATOR_KEY)).json()) as object;
  assert.deepEqual(changed, { object: 'tenant', name: 'acme', created_at: 1, ...limits, ...more });
  await change('acme', { weight: null }, OPERATOR_KEY);
  const now = (await (await get('/api/tenants/acme')).json()) as Record<string, unknown>;
  assert.deepEqual([now['weight'], now['max_concurrency']], [null, 3], 'null takes away, what is absent stays');
  for (const [body, param] of [
    [{ weight: 0 }, 'weight'],
    [{ tokens_per_minute: 1.5 }, 'tokens_per_minute'],
    [{ colour: 1 }, 'colour'],
  ] as const) {
    const response = await change('acme', body, OPERATOR_KEY);
    assert.deepEqual([response.status, (await errorOf(response)).param], [400, param]);
  }
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

  restart({ isLocal: true });
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
    ENGINE_UNAVAILABLE: 503,
    DEADLINE_EXCEEDED: 408,
    QUOTA_EXCEEDED: 409,
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
  const retryAfter = (details: ErrorDetails): string | undefined =>
    wireError(new EspalierError('OVERLOADED', 'a message', details), 'req_1').headers['Retry-After'];
  assert.deepEqual([retryAfter({}), retryAfter({ retryAfterMs: 2100 })], ['1', '3'], 'whole seconds, never too soon');
});

test('the log says who asked, what answered and how many tokens, under the request’s id, and no texts', async () => {
  const whole = await post(HELLO, {});
  const streamed = await post({ ...HELLO, model: 'acme/spam', stream: true });
  await streamed.text();
  await new Promise((resolve) => setImmediate(resolve));
  const lines = [whole, streamed].map((response) => {
    const requestId = response.headers.get('x-request-id');
    return logged.find(({ fields, message }) => message === 'request' && fields['requestId'] === requestId)?.fields;
  });
  for (const [line, model, adapter] of [
    [lines[0], 'tiny', null],
    [lines[1], 'acme/spam@1', ACME_DIGEST],
  ] as const) {
    assert.ok(line);
    const { tenant, keyId, promptTokens, completionTokens } = line;
    assert.deepEqual(
      { tenant, keyId, model: line['model'], adapter: line['adapter'], promptTokens, completionTokens },
      { tenant: 'acme', keyId: 'key_acme', model, adapter, promptTokens: 1, completionTokens: 3 },
    );
    assert.deepEqual([line['finishReason'], line['firstTokenSeconds'], line['queueSeconds']], ['stop', 0, 0.25]);
    assert.doesNotMatch(JSON.stringify(line), /hello|dear/i);
  }
});
