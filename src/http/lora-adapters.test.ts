/** Loading, unloading and listing adapters: vLLM's bodies and answers, and our own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { app, assertNothingHeld, errorOf, get, services } from '../../test/conformance/http/app-harness.ts';
import {
  ACME_DIGEST,
  ACME_KEY,
  GLOBEX_KEY,
  OPERATOR_KEY,
  READER_KEY,
} from '../../test/conformance/http/in-memory-services.ts';

function call(path: string, body: unknown, key = ACME_KEY, method = 'POST'): Promise<Response> {
  const headers = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' };
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  return Promise.resolve(app.request(path, init));
}
const load = (body: object, key?: string): Promise<Response> => call('/v1/load_lora_adapter', body, key);
const SPAM = { lora_name: 'spam-1', lora_path: 'acme/spam' };

test('vLLM’s requests get vLLM’s answers', async () => {
  const loaded = await load(SPAM);
  assert.equal(loaded.status, 200);
  assert.equal(await loaded.text(), "Success: LoRA adapter 'spam-1' added successfully.");
  assert.equal((await load(SPAM)).status, 400);
  assert.equal((await load({ ...SPAM, load_inplace: true, is_3d_lora_weight: false })).status, 200);
  const unloaded = await call('/v1/unload_lora_adapter', { lora_name: 'spam-1', lora_int_id: null });
  assert.equal(unloaded.status, 200);
  assert.equal(await unloaded.text(), "Success: LoRA adapter 'spam-1' removed successfully.");
  assert.equal(unloaded.headers.get('x-freed-bytes'), '100');
  assert.equal((await call('/v1/unload_lora_adapter', { lora_name: 'spam-1' })).status, 404);
  assertNothingHeld();
});

test('a field that is missing, unknown or not supported is named', async () => {
  for (const [body, field] of [
    [{ lora_name: 'x' }, 'lora_path'],
    [{ lora_path: 'acme/spam' }, 'lora_name'],
    [{ ...SPAM, lora_alpha: 3 }, 'lora_alpha'],
    [{ ...SPAM, is_3d_lora_weight: true }, 'is_3d_lora_weight'],
    [{ ...SPAM, load_inplace: 'yes' }, 'load_inplace'],
  ] as const) {
    const response = await load(body);
    assert.equal(response.status, 400);
    const { message, param } = await errorOf(response);
    assert.ok(`${message} ${param}`.includes(field), `${field}: ${message}`);
  }
  const byId = await call('/v1/unload_lora_adapter', { lora_name: 'x', lora_int_id: 3 });
  assert.equal((await errorOf(byId)).param, 'lora_int_id');
});

test('a reader’s key neither loads nor unloads', async () => {
  for (const response of [
    await load(SPAM, READER_KEY),
    await call('/v1/unload_lora_adapter', { lora_name: 'spam-1' }, READER_KEY),
    await call('/v1/lora_adapters/spam-1', undefined, READER_KEY, 'DELETE'),
  ]) {
    assert.equal(response.status, 403);
    assert.equal((await errorOf(response)).code, 'role_insufficient');
  }
  assert.equal((await get('/v1/lora_adapters', READER_KEY)).status, 200);
});

test('a load counts as one of the tenant’s requests', async () => {
  services.limit = 0;
  assert.equal((await load(SPAM)).status, 429);
});

test('what is in memory is listed to its tenant, and to the operator with the tiers', async () => {
  await load(SPAM);
  const adapter = {
    object: 'lora_adapter',
    digest: ACME_DIGEST,
    base: 'tiny',
    names: ['spam-1'],
    state: 'ready',
    ready_bytes: 100,
    host_bytes: 0,
    leases: 0,
    pinned: true,
    last_used: 1,
    reason: null,
  };
  assert.deepEqual(await (await get('/v1/lora_adapters')).json(), { object: 'list', data: [adapter] });
  assert.deepEqual(await (await get('/v1/lora_adapters', GLOBEX_KEY)).json(), { object: 'list', data: [] });
  const tier = { adapters: 1, bytes: 100, held_bytes: 0, budget_bytes: 1000, evictions: 2 };
  assert.deepEqual(await (await get('/v1/lora_adapters?limit=5', OPERATOR_KEY)).json(), {
    object: 'list',
    data: [adapter],
    tiers: { ready: tier, host: tier },
  });
  for (const limit of ['0', 'x', '1e9']) {
    const response = await get(`/v1/lora_adapters?limit=${limit}`);
    assert.equal((await errorOf(response)).param, 'limit');
  }
});

test('who polls is told of changes only', async () => {
  const list = (tag?: string): Promise<Response> =>
    get('/v1/lora_adapters', ACME_KEY, tag === undefined ? {} : { 'If-None-Match': tag });
  const first = await list();
  const tag = first.headers.get('etag') ?? assert.fail();
  assert.match(first.headers.get('content-type') ?? '', /^application\/json/);
  for (const known of [tag, `W/${tag}`, `"other", ${tag}`]) {
    const again = await list(known);
    assert.deepEqual([again.status, await again.text(), again.headers.get('etag')], [304, '', tag]);
  }
  await load(SPAM);
  const changed = await list(tag);
  assert.equal(changed.status, 200);
  assert.notEqual(changed.headers.get('etag'), tag);
});

test('deleting answers with the bytes; another tenant’s name is unknown', async () => {
  await load(SPAM);
  assert.equal((await call('/v1/lora_adapters/spam-1', undefined, GLOBEX_KEY, 'DELETE')).status, 404);
  const response = await call('/v1/lora_adapters/spam-1', undefined, ACME_KEY, 'DELETE');
  assert.deepEqual(await response.json(), {
    object: 'lora_adapter.unloaded',
    name: 'spam-1',
    digest: ACME_DIGEST,
    freed_bytes: 100,
    in_use_bytes: 0,
    shared_bytes: 0,
  });
});
