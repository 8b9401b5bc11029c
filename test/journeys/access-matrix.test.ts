/** Every route × every kind of key, on the real server: who gets in, and that nothing tells of another tenant's things. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import OpenAI, { toFile } from 'openai';
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
    // The adapter is no classifier: those who may ask it are told so.
    method: 'POST',
    route: '/v1/classify',
    body: { model: 'acme/reply', input: 'hello' },
    statuses: [...shut, 404, 400, 400, 400, 400],
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
  {
    method: 'POST',
    route: '/api/tenants',
    body: { name: 'globex' },
    statuses: [...shut, 403, 403, 403, 403, 409],
  },
  {
    method: 'DELETE',
    route: '/api/tenants/{tenant}',
    path: '/api/tenants/acme?erase=true&dry_run=true',
    statuses: [...shut, 403, 403, 403, 403, 200],
  },
  { method: 'GET', route: '/api/keys', statuses: [...shut, 200, 403, 403, 200, 200] },
  {
    method: 'POST',
    route: '/api/keys',
    body: { tenant: 'acme', role: 'reader' },
    statuses: [...shut, 404, 403, 403, 200, 200],
  },
  {
    method: 'DELETE',
    route: '/api/keys/{key_id}',
    path: '/api/keys/acme-key',
    statuses: [...shut, 404, 403, 403, 200, 200],
  },
  { method: 'GET', route: '/api/usage', statuses: [...shut, 200, 200, 200, 200, 200] },
  { method: 'GET', route: '/api/audit', statuses: [...shut, 200, 403, 403, 200, 200] },
  { method: 'GET', route: '/api/session', statuses: [...shut, 200, 200, 200, 200, 200] },
  { method: 'GET', route: '/api/traffic', statuses: [...shut, 200, 200, 200, 200, 200] },
  {
    method: 'GET',
    route: '/api/adapters',
    path: '/api/adapters?tenant=acme',
    statuses: [...shut, 404, 200, 200, 200, 200],
  },
  {
    method: 'GET',
    route: '/api/adapters/{name}',
    path: '/api/adapters/acme/reply',
    statuses: [...shut, 404, 200, 200, 200, 200],
  },
  {
    method: 'POST',
    route: '/api/data/check',
    body: { file: 'acme-file', model: 'tiny' },
    statuses: [...shut, 404, 403, 200, 200, 200],
  },
  // Files, uploads and jobs are a tenant's: an operator's key has none of its own.
  {
    method: 'GET',
    route: '/v1/files',
    statuses: [...shut, 200, 200, 200, 200, 200],
  },
  {
    method: 'GET',
    route: '/v1/files/{file_id}',
    path: '/v1/files/acme-file',
    statuses: [...shut, 404, 200, 200, 200, 200],
  },
  {
    method: 'GET',
    route: '/v1/files/{file_id}/content',
    path: '/v1/files/acme-file/content',
    statuses: [...shut, 404, 403, 200, 200, 200],
  },
  {
    method: 'POST',
    route: '/v1/files',
    body: {},
    statuses: [...shut, 415, 403, 415, 415, 415],
  },
  {
    method: 'POST',
    route: '/v1/uploads',
    body: { bytes: 2, filename: 'a.jsonl', mime_type: 'text/jsonl', purpose: 'fine-tune' },
    statuses: [...shut, 200, 403, 200, 200, 400],
  },
  {
    method: 'POST',
    route: '/v1/uploads/{upload_id}/parts',
    path: '/v1/uploads/acme-upload/parts',
    body: {},
    statuses: [...shut, 415, 403, 415, 415, 415],
  },
  {
    method: 'POST',
    route: '/v1/uploads/{upload_id}/complete',
    path: '/v1/uploads/acme-upload/complete',
    body: { part_ids: [] },
    statuses: [...shut, 400, 403, 400, 400, 400],
  },
  {
    method: 'POST',
    route: '/v1/uploads/{upload_id}/cancel',
    path: '/v1/uploads/acme-upload/cancel',
    statuses: [...shut, 404, 403, 200, 400, 400],
  },
  {
    method: 'POST',
    route: '/v1/fine_tuning/jobs',
    body: { model: 'tiny', training_file: 'acme-file' },
    statuses: [...shut, 404, 403, 200, 200, 400],
  },
  {
    method: 'GET',
    route: '/v1/fine_tuning/jobs',
    statuses: [...shut, 200, 200, 200, 200, 200],
  },
  {
    method: 'GET',
    route: '/v1/fine_tuning/jobs/{fine_tuning_job_id}',
    path: '/v1/fine_tuning/jobs/acme-job',
    statuses: [...shut, 404, 200, 200, 200, 200],
  },
  {
    method: 'GET',
    route: '/v1/fine_tuning/jobs/{fine_tuning_job_id}/events',
    path: '/v1/fine_tuning/jobs/acme-job/events',
    statuses: [...shut, 404, 200, 200, 200, 200],
  },
  {
    method: 'GET',
    route: '/v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints',
    path: '/v1/fine_tuning/jobs/acme-job/checkpoints',
    statuses: [...shut, 404, 200, 200, 200, 200],
  },
  {
    method: 'POST',
    route: '/v1/fine_tuning/jobs/{fine_tuning_job_id}/pause',
    path: '/v1/fine_tuning/jobs/acme-job/pause',
    statuses: [...shut, 404, 403, 200, 400, 400],
  },
  {
    method: 'POST',
    route: '/v1/fine_tuning/jobs/{fine_tuning_job_id}/resume',
    path: '/v1/fine_tuning/jobs/acme-job/resume',
    statuses: [...shut, 404, 403, 200, 400, 400],
  },
  {
    method: 'POST',
    route: '/v1/fine_tuning/jobs/{fine_tuning_job_id}/cancel',
    path: '/v1/fine_tuning/jobs/acme-job/cancel',
    statuses: [...shut, 404, 403, 200, 400, 400],
  },
  {
    method: 'GET',
    route: '/api/routes',
    statuses: [...shut, 200, 200, 200, 200, 400],
  },
  {
    method: 'GET',
    route: '/api/routes/{task}',
    path: '/api/routes/only',
    statuses: [...shut, 404, 200, 200, 200, 400],
  },
  {
    method: 'POST',
    route: '/api/routes/{task}',
    path: '/api/routes/only',
    body: { split: [{ version: '1', weight: 1 }] },
    statuses: [...shut, 404, 403, 200, 200, 400],
  },
  {
    method: 'POST',
    route: '/api/routes/{task}/promote',
    path: '/api/routes/only/promote',
    body: { version: 1 },
    statuses: [...shut, 404, 403, 200, 200, 400],
  },
  {
    method: 'POST',
    route: '/api/routes/{task}/rollback',
    path: '/api/routes/only/rollback',
    body: {},
    statuses: [...shut, 404, 403, 400, 400, 400],
  },
  {
    method: 'POST',
    route: '/api/routes/{task}/gate',
    path: '/api/routes/only/gate',
    body: { file: 'acme-file', metric: 'loss', threshold: 100 },
    statuses: [...shut, 404, 403, 200, 200, 400],
  },
  {
    method: 'DELETE',
    route: '/api/routes/{task}/gate',
    path: '/api/routes/only/gate',
    statuses: [...shut, 404, 403, 403, 200, 400],
  },
  // What the writer starts is there when the admin comes, and what it stops is not.
  {
    method: 'POST',
    route: '/api/routes/{task}/canary',
    path: '/api/routes/only/canary',
    body: { version: 1, share: 0.5 },
    statuses: [...shut, 404, 403, 200, 400, 400],
  },
  {
    method: 'GET',
    route: '/api/routes/{task}/canary',
    path: '/api/routes/only/canary',
    statuses: [...shut, 404, 200, 200, 200, 400],
  },
  {
    method: 'DELETE',
    route: '/api/routes/{task}/canary',
    path: '/api/routes/only/canary',
    statuses: [...shut, 404, 403, 200, 404, 400],
  },
  {
    method: 'POST',
    route: '/api/routes/{task}/shadow',
    path: '/api/routes/only/shadow',
    body: { version: 1 },
    statuses: [...shut, 404, 403, 200, 400, 400],
  },
  {
    method: 'GET',
    route: '/api/routes/{task}/shadow',
    path: '/api/routes/only/shadow',
    statuses: [...shut, 404, 200, 200, 200, 400],
  },
  {
    method: 'DELETE',
    route: '/api/routes/{task}/shadow',
    path: '/api/routes/only/shadow',
    statuses: [...shut, 404, 403, 200, 404, 400],
  },
  {
    method: 'GET',
    route: '/api/routes/{task}/events',
    path: '/api/routes/only/events',
    statuses: [...shut, 404, 200, 200, 200, 400],
  },
  // No canary was on when it was given.
  {
    method: 'POST',
    route: '/api/feedback',
    body: { request_id: 'none', score: 1 },
    statuses: [...shut, 404, 404, 404, 404, 400],
  },
  {
    method: 'DELETE',
    route: '/v1/files/{file_id}',
    path: '/v1/files/acme-file',
    statuses: [...shut, 404, 403, 200, 404, 404],
  },
];

let server: TinyServer;
const keys = new Map<Kind, string>();
/** Ids of what acme has, by the rows' names for it. */
const things = new Map<string, string>();

before(async () => {
  server = await startTinyServer({
    adapters: {
      'acme/reply': { seed: 1, ...SHAPE },
      'acme/only': { seed: 3, ...SHAPE },
      'globex/reply': { seed: 2, ...SHAPE },
    },
    // Jobs are queued and stay so.
    serve: { jobs: 0 },
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
  things.set('acme-key', make.create({ tenant: 'acme', role: 'reader' }).key.keyId);
  assert.ok(tenants.find('acme'));
  await makeThings();
});
after(() => server?.[Symbol.asyncDispose]());

/** A file, an upload and a job of acme, under the names that the rows have for them. */
async function makeThings(): Promise<void> {
  const acme = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: keys.get('admin') ?? '', maxRetries: 0 });
  const line = { messages: [...hello.messages, { role: 'assistant', content: 'hi' }] };
  const text = Array.from({ length: 10 }, () => `${JSON.stringify(line)}\n`).join('');
  const file = await acme.files.create({ file: await toFile(Buffer.from(text), 'a.jsonl'), purpose: 'fine-tune' });
  const upload = { bytes: 2, filename: 'a.jsonl', mime_type: 'text/jsonl', purpose: 'fine-tune' } as const;
  things.set('acme-file', file.id);
  things.set('acme-upload', (await acme.uploads.create(upload)).id);
  things.set('acme-job', (await acme.fineTuning.jobs.create({ model: 'tiny', training_file: file.id })).id);
}

function withThings(text: string): string {
  return text.replaceAll(/(acme|nobody)-(file|upload|job|key)/g, (name) => things.get(name) ?? name);
}

function call({ method, route, path = route, body }: Row, kind: Kind): Promise<Response> {
  const key = keys.get(kind);
  return fetch(server.url + withThings(path), {
    method,
    headers: {
      ...(key !== undefined && { Authorization: `Bearer ${key}` }),
      ...(body && { 'Content-Type': 'application/json' }),
    },
    ...(body && { body: withThings(JSON.stringify(body)) }),
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
      const named = [...things].reduce((before, [thing, id]) => before.replaceAll(id, thing), text);
      texts.push(`${row.method} ${row.route}: ${named.replaceAll(name, 'NAME')}`);
    }
    return texts;
  };
  const withoutTimes = (text: string): string =>
    text
      .replaceAll(/"(created|created_at|expires_at|last_used)":\d+/g, '"$1":0')
      .replaceAll(/upload_\w{20,}/g, 'upload')
      // It grows by what the questions themselves change.
      .replace(/^(GET \/api\/audit): .*$/, '$1')
      // Its own requests, of which there are more the second time.
      .replace(/^(GET \/api\/traffic: .*"data":)\[.*\]\}$/, '$1[]}')
      .replaceAll(/"(from|to)":\d+/g, '"$1":0');
  const [real, unreal] = [await bodies('acme'), await bodies('nobody')];
  assert.deepEqual(real.map(withoutTimes), unreal.map(withoutTimes));
  assert.ok(real.every((text) => text.startsWith('GET /openapi.json') || !text.includes('acme')));
});
