/** Every route × every kind of key, on the real server: who gets in, and that nothing tells of another tenant's things. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Database } from '../../src/storage/index.ts';
import { ApiKeys, TENANCY_MIGRATIONS } from '../../src/tenancy/index.ts';
import { startTinyServer, type TinyServer } from '../support/tiny-server.ts';

const KINDS = ['none', 'wrong', 'expired', 'revoked', 'other', 'reader', 'writer', 'admin', 'operator'] as const;
type Kind = (typeof KINDS)[number];

const SHAPE = { rank: 4, targets: ['q_proj'] } as const;
const hello = { messages: [{ role: 'user', content: 'hello' }], max_tokens: 1 };

/** A request about tenant acme's things, and the status for each kind of key. */
interface Row {
  readonly method: string;
  /** As in the server's own description. */
  readonly route: string;
  readonly path?: string;
  readonly body?: object;
  readonly query?: string;
  /** `none`, `wrong`, `expired`, `revoked`, then `other` tenant, `reader`, `writer`, `admin` of acme, `operator`. */
  readonly statuses: readonly number[];
}

const OPEN = KINDS.map(() => 200);
const shut = [401, 401, 401, 401];
const ROWS: readonly Row[] = [
  { method: 'GET', route: '/healthz', statuses: OPEN },
  { method: 'GET', route: '/readyz', statuses: OPEN },
  { method: 'GET', route: '/openapi.json', statuses: OPEN },
  // The server listens on this machine only, so that no key is needed; a key that is sent counts.
  { method: 'GET', route: '/metrics', statuses: [200, 401, 401, 401, 403, 403, 403, 403, 200] },
  { method: 'GET', route: '/v1/models', statuses: [...shut, 200, 200, 200, 200, 200] },
  {
    method: 'GET',
    route: '/v1/models/{model}',
    path: '/v1/models/acme/reply',
    statuses: [...shut, 404, 200, 200, 200, 200],
  },
  {
    method: 'POST',
    route: '/v1/chat/completions',
    body: { model: 'acme/reply', ...hello },
    statuses: [...shut, 404, 200, 200, 200, 200],
  },
  {
    method: 'POST',
    route: '/v1/completions',
    body: { model: 'acme/reply', prompt: 'hello', max_tokens: 1 },
    statuses: [...shut, 404, 200, 200, 200, 200],
  },
  {
    method: 'POST',
    route: '/v1/embeddings',
    body: { model: 'acme/reply', input: 'hello' },
    statuses: [...shut, 404, 200, 200, 200, 200],
  },
  {
    method: 'POST',
    route: '/v1/load_lora_adapter',
    body: { lora_name: 'mine', lora_path: 'acme/reply', load_inplace: true },
    statuses: [...shut, 404, 403, 200, 200, 200],
  },
  { method: 'GET', route: '/v1/lora_adapters', statuses: [...shut, 200, 200, 200, 200, 200] },
  // The writer unloads acme's name, so the admin finds none; the operator has a name of its own.
  {
    method: 'POST',
    route: '/v1/unload_lora_adapter',
    body: { lora_name: 'mine' },
    statuses: [...shut, 404, 403, 200, 404, 200],
  },
  {
    method: 'DELETE',
    route: '/v1/lora_adapters/{name}',
    path: '/v1/lora_adapters/mine',
    statuses: [...shut, 404, 403, 404, 404, 404],
  },
  { method: 'GET', route: '/api/tenants', statuses: [...shut, 200, 200, 200, 200, 200] },
  {
    method: 'GET',
    route: '/api/tenants/{tenant}',
    path: '/api/tenants/acme',
    statuses: [...shut, 404, 200, 200, 200, 200],
  },
  {
    method: 'PATCH',
    route: '/api/tenants/{tenant}',
    path: '/api/tenants/acme',
    body: { weight: 1 },
    statuses: [...shut, 403, 403, 403, 403, 200],
  },
];

let server: TinyServer;
const keys = new Map<Kind, string>();

before(async () => {
  server = await startTinyServer({
    adapters: { 'acme/reply': { seed: 1, ...SHAPE }, 'globex/reply': { seed: 2, ...SHAPE } },
  });
  const { keys: make, tenants } = server.platform;
  keys.set('wrong', `esp_${'x'.repeat(48)}`);
  for (const role of ['reader', 'writer', 'admin'] as const)
    keys.set(role, make.create({ tenant: 'acme', role }).secret);
  keys.set('other', make.create({ tenant: 'globex', role: 'admin' }).secret);
  keys.set('operator', make.create({ tenant: null, role: 'admin' }).secret);
  const revoked = make.create({ tenant: 'acme', role: 'admin' });
  keys.set('revoked', revoked.secret);
  make.revoke(revoked.key.keyId);
  // A key that was made long ago, for a short time.
  const longAgo = { nowMs: () => 0, epochMs: () => 1_000_000 };
  const database = Database.open(join(server.config.home, 'espalier.db'), [TENANCY_MIGRATIONS], longAgo);
  keys.set(
    'expired',
    new ApiKeys(database, longAgo).create({ tenant: 'acme', role: 'admin', expiresAt: 1_000_001 }).secret,
  );
  database.close();
  assert.ok(tenants.find('acme'));
});
after(() => server?.[Symbol.asyncDispose]());

function call({ method, route, path = route, body }: Row, kind: Kind): Promise<Response> {
  const key = keys.get(kind);
  return fetch(`${server.url}${path}`, {
    method,
    headers: key === undefined ? {} : { Authorization: `Bearer ${key}` },
    ...(body && { body: JSON.stringify(body) }),
  });
}

test('each route answers each kind of key as it should', async () => {
  for (const row of ROWS) {
    const got: number[] = [];
    for (const kind of KINDS) got.push((await call(row, kind)).status);
    const named = (statuses: readonly number[]) => Object.fromEntries(KINDS.map((kind, n) => [kind, statuses[n]]));
    assert.deepEqual(named(got), named(row.statuses), `${row.method} ${row.route}`);
  }
});

test('the table has every route of the server', async () => {
  const description = (await (await fetch(`${server.url}/openapi.json`)).json()) as { paths: Record<string, object> };
  const described = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(ROWS.map(({ method, route }) => `${method} ${route}`).toSorted(), described.toSorted());
});

test('what another tenant is told of acme’s things is what it is told of nothing', async () => {
  const bodies = async (name: string): Promise<string[]> => {
    const texts: string[] = [];
    for (const row of ROWS) {
      const moved = JSON.parse(JSON.stringify(row).replaceAll('acme', name)) as Row;
      const text = await (await call(moved, 'other')).text();
      texts.push(`${row.method} ${row.route}: ${text.replaceAll(name, 'NAME')}`);
    }
    return texts;
  };
  const withoutTimes = (text: string): string => text.replaceAll(/"(created|last_used)":\d+/g, '"$1":0');
  const [real, unreal] = [await bodies('acme'), await bodies('nobody')];
  assert.deepEqual(real.map(withoutTimes), unreal.map(withoutTimes));
  assert.ok(real.every((text) => text.startsWith('GET /openapi.json') || !text.includes('acme')));
});
