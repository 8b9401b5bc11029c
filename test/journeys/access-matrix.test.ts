/** Every route × every kind of key, on the real server: who gets in, and that nothing tells of another tenant's things. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { Database } from '../../src/storage/index.ts';
import { ApiKeys, TENANCY_MIGRATIONS } from '../../src/tenancy/index.ts';
import { startTinyServer, type TinyServer } from '../support/tiny-server.ts';
import { hello, KINDS, ROWS, type Kind, type Row } from './access-rows.ts';

const SHAPE = { rank: 4, targets: ['q_proj'] } as const;

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

function call({ method, path, body }: Row, kind: Kind): Promise<Response> {
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
    const got: Partial<Record<Kind, number>> = {};
    for (const kind of KINDS) got[kind] = (await call(row, kind)).status;
    assert.deepEqual(got, row.statuses, `${row.method} ${row.route}`);
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
