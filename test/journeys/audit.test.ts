/** Every route and every command that changes something leaves its entry in the audit log, on the real server and the real command line. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Command } from 'commander';
import type { AuditRecord, AuditVerdict } from '../../src/audit/index.ts';
import { makeProgram } from '../../src/cli/program.ts';
import { run, runJson } from '../support/processes.ts';
import { startTinyServer, type TinyServer } from '../support/tiny-server.ts';
import { chatLines } from '../support/tuning-data.ts';

const SHAPE = { rank: 2, targets: ['q_proj'] } as const;
let server: TinyServer;
const keys = { acme: '', operator: '', id: '' };

before(async () => {
  server = await startTinyServer({
    adapters: { 'acme/reply': { seed: 1, ...SHAPE }, 'acme/other': { seed: 2, ...SHAPE } },
    serve: { jobs: 0 },
  });
  const acme = server.platform.keys.create({ tenant: 'acme', role: 'admin' });
  [keys.acme, keys.id] = [acme.secret, acme.key.keyId];
  keys.operator = server.platform.keys.create({ tenant: null, role: 'admin' }).secret;
});
after(() => server?.[Symbol.asyncDispose]());

type Json = Record<string, unknown>;

async function call(method: string, path: string, body?: Json | FormData, key = keys.acme): Promise<Json> {
  const isForm = body instanceof FormData;
  const response = await fetch(server.url + path, {
    method,
    headers: { Authorization: `Bearer ${key}`, ...(body && !isForm && { 'Content-Type': 'application/json' }) },
    ...(body && { body: isForm ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  assert.equal(response.status, 200, `${method} ${path}: ${text}`);
  return (response.headers.get('content-type') ?? '').includes('json') ? (JSON.parse(text) as Json) : {};
}

function form(field: string, text: string): FormData {
  const fields = new FormData();
  if (field === 'file') fields.set('purpose', 'fine-tune');
  fields.set(field, new Blob([text]), 'a.jsonl');
  return fields;
}

/** Routes that change nothing, or only what they answer. */
const ANSWERING = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/classify',
  '/api/data/check',
  '/api/feedback',
];

/** In this order; what one makes the next ones use. Each must leave exactly one entry, of this action. */
const ROUTES: readonly (readonly [
  route: string,
  action: string,
  call: (made: Record<string, string>) => Promise<Json>,
])[] = [
  ['POST /api/tenants', 'tenant.create', () => call('POST', '/api/tenants', { name: 'globex' }, keys.operator)],
  [
    'PATCH /api/tenants/{tenant}',
    'tenant.change',
    () => call('PATCH', '/api/tenants/globex', { weight: 2 }, keys.operator),
  ],
  [
    'PATCH /api/prices',
    'prices.set',
    () => call('PATCH', '/api/prices', { tenant: 'globex', prompt: 1, currency: 'EUR' }, keys.operator),
  ],
  [
    'DELETE /api/tenants/{tenant}',
    'tenant.erase',
    () => call('DELETE', '/api/tenants/globex?erase=true', undefined, keys.operator),
  ],
  [
    'POST /api/keys',
    'key.create',
    async (made) => {
      const key = await call('POST', '/api/keys', { role: 'reader', name: 'ci' });
      made['key'] = String(key['id']);
      return key;
    },
  ],
  ['DELETE /api/keys/{key_id}', 'key.revoke', (made) => call('DELETE', `/api/keys/${made['key']}`)],
  [
    'POST /v1/files',
    'file.create',
    async (made) => {
      const file = await call('POST', '/v1/files', form('file', chatLines(4)));
      made['file'] = String(file['id']);
      return file;
    },
  ],
  [
    'POST /v1/uploads',
    'upload.create',
    async (made) => {
      const bytes = chatLines(4).length;
      const body = { bytes, filename: 'b.jsonl', mime_type: 'text/jsonl', purpose: 'fine-tune' };
      made['upload'] = String((await call('POST', '/v1/uploads', body))['id']);
      made['second'] = made['upload'];
      return {};
    },
  ],
  [
    'POST /v1/uploads/{upload_id}/parts',
    'upload.part',
    async (made) => {
      const part = await call('POST', `/v1/uploads/${made['upload']}/parts`, form('data', chatLines(4)));
      made['part'] = String(part['id']);
      return part;
    },
  ],
  [
    'POST /v1/uploads/{upload_id}/complete',
    'upload.complete',
    (made) => call('POST', `/v1/uploads/${made['upload']}/complete`, { part_ids: [made['part']] }),
  ],
  [
    'POST /v1/uploads/{upload_id}/cancel',
    'upload.cancel',
    (made) => call('POST', `/v1/uploads/${made['cancelled']}/cancel`),
  ],
  [
    'POST /v1/fine_tuning/jobs',
    'job.create',
    async (made) => {
      const job = await call('POST', '/v1/fine_tuning/jobs', { model: 'tiny', training_file: made['file'] });
      made['job'] = String(job['id']);
      return job;
    },
  ],
  ...(['pause', 'resume', 'cancel'] as const).map(
    (command) =>
      [
        `POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/${command}`,
        `job.${command}`,
        (made: Record<string, string>) => call('POST', `/v1/fine_tuning/jobs/${made['job']}/${command}`),
      ] as const,
  ),
  [
    'POST /api/routes/{task}/gate',
    'gate.set',
    (made) => call('POST', '/api/routes/reply/gate', { file: made['file'], metric: 'loss', threshold: 0.1 }),
  ],
  [
    'POST /api/routes/{task}/canary',
    'canary.start',
    () => call('POST', '/api/routes/reply/canary', { version: 2, share: 0.5, gate: false }),
  ],
  ['DELETE /api/routes/{task}/canary', 'canary.stop', () => call('DELETE', '/api/routes/reply/canary')],
  [
    'POST /api/routes/{task}/shadow',
    'shadow.start',
    () => call('POST', '/api/routes/reply/shadow', { version: 2, share: 0.5 }),
  ],
  ['DELETE /api/routes/{task}/shadow', 'shadow.stop', () => call('DELETE', '/api/routes/reply/shadow')],
  ['DELETE /api/routes/{task}/gate', 'gate.remove', () => call('DELETE', '/api/routes/reply/gate')],
  ['DELETE /v1/files/{file_id}', 'file.delete', (made) => call('DELETE', `/v1/files/${made['file']}`)],
  [
    'POST /v1/load_lora_adapter',
    'adapter.load',
    () => call('POST', '/v1/load_lora_adapter', { lora_name: 'mine', lora_path: 'acme/reply' }),
  ],
  [
    'POST /v1/unload_lora_adapter',
    'adapter.unload',
    () => call('POST', '/v1/unload_lora_adapter', { lora_name: 'mine' }),
  ],
  [
    'DELETE /v1/lora_adapters/{name}',
    'adapter.unload',
    async () => {
      return call('DELETE', '/v1/lora_adapters/again');
    },
  ],
  [
    'POST /api/routes/{task}',
    'route.split',
    () => call('POST', '/api/routes/reply', { split: [{ version: '1', weight: 1 }] }),
  ],
  [
    'POST /api/routes/{task}/promote',
    'adapter.promote',
    () => call('POST', '/api/routes/reply/promote', { version: 1, alias: 'latest' }),
  ],
  [
    'POST /api/routes/{task}/rollback',
    'adapter.rollback',
    () => call('POST', '/api/routes/reply/rollback', { alias: 'stable' }),
  ],
];

function entriesSince(seq: number): readonly AuditRecord[] {
  const { items } = server.platform.audit.list({ limit: 1000 });
  return items.filter((entry) => entry.seq > seq);
}

function lastSeq(): number {
  return server.platform.audit.list({ limit: 1 }).items[0]?.seq ?? 0;
}

test('every route that changes something leaves an entry, with who, what and whose', async () => {
  const made: Record<string, string> = {};
  const upload = { bytes: 2, filename: 'b.jsonl', mime_type: 'text/jsonl', purpose: 'fine-tune' };
  made['cancelled'] = String((await call('POST', '/v1/uploads', upload))['id']);
  await call('POST', '/v1/load_lora_adapter', { lora_name: 'again', lora_path: 'acme/other' });
  // A second version, so that there is something to go back to.
  const { registry } = server.platform;
  const first = registry.resolve('acme', 'acme/reply@1');
  const other = registry.resolve('acme', 'acme/other@1');
  await registry.publish('acme', 'reply', await registry.materialise(other), { ...other, alias: 'stable' });
  registry.promote('acme', `acme/reply@${first.version}`, 'stable');
  for (const [route, action, change] of ROUTES) {
    const before = lastSeq();
    await change(made);
    const entries = entriesSince(before);
    assert.deepEqual(
      entries.map((entry) => entry.action),
      [action],
      route,
    );
    const [{ actor, tenant, target }] = entries;
    const isOperators = action.startsWith('tenant.') || action === 'prices.set';
    const whose = action === 'tenant.erase' ? null : isOperators ? 'globex' : 'acme';
    assert.equal(tenant, whose, route);
    if (!isOperators) assert.equal(actor, keys.id, route);
    assert.ok(target, route);
  }
  const secrets = JSON.stringify(entriesSince(0));
  for (const secret of [keys.acme, keys.operator, 'what is 1?']) assert.ok(!secrets.includes(secret));
});

test('what is refused leaves no entry', async () => {
  const before = lastSeq();
  for (const [path, body] of [
    ['/api/routes/reply/promote', { version: 99 }],
    ['/api/keys', { role: 'reader', tenant: 'globex' }],
    ['/v1/fine_tuning/jobs', { model: 'tiny', training_file: 'file-none' }],
  ] as const) {
    const headers = { Authorization: `Bearer ${keys.acme}`, 'Content-Type': 'application/json' };
    const response = await fetch(server.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    assert.ok(response.status >= 400, path);
  }
  assert.equal(lastSeq(), before);
});

test('the table has every route of the server that is no question', async () => {
  const description = (await (await fetch(`${server.url}/openapi.json`)).json()) as { paths: Record<string, object> };
  const changing = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter((method) => method !== 'get' && !ANSWERING.includes(path))
      .map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(ROUTES.map(([route]) => route).toSorted(), changing.toSorted());
});

test('a tenant’s admin sees what concerns it, by its own numbers; the operator sees all', async () => {
  interface Page {
    readonly data: readonly { seq: number; tenant: string | null; action: string; hash: string }[];
    readonly has_more: boolean;
  }
  const page = async (query: string, key: string) =>
    (await call('GET', `/api/audit${query}`, undefined, key)) as unknown as Page;
  const own = await page('?limit=1000', keys.acme);
  assert.ok(own.data.length > 10 && own.data.every(({ tenant }) => tenant === 'acme'));
  assert.deepEqual(
    own.data.map(({ seq }) => seq),
    own.data.map((_, n) => own.data.length - n),
  );
  const paged: Page['data'][number][] = [];
  for (let after = ''; ;) {
    const { data, has_more } = await page(`?limit=4${after}`, keys.acme);
    paged.push(...data);
    if (!has_more) break;
    after = `&after=${data.at(-1)?.seq}`;
  }
  assert.deepEqual(paged, own.data);
  assert.deepEqual((await page('?tenant=globex', keys.acme)).data, []);
  const all = await page('?limit=1000', keys.operator);
  assert.ok(all.data.length > own.data.length);
  assert.ok((await page('?tenant=globex', keys.operator)).data.every(({ tenant }) => tenant === 'globex'));
});

/** Commands that change no tenant's things and no keys: they read, run, or keep base models. */
const UNRECORDED = (
  'start, models pull, models import, models list, models show, models quantise, models remove, plan, data check, sweep, evaluate, ' +
  'generate, serve, bench train, bench serve, bench decode, bench load, adapters list, adapters show, adapters export, ' +
  'adapters verify, routes list, tenants list, tenants show, keys list, usage bill, audit list, audit verify, jobs list, ' +
  'jobs show, jobs events, routes events, routes canary show, routes shadow report, home encrypt'
).split(', ');

function leaves(command: Command, path: readonly string[] = []): string[] {
  if (command.commands.length === 0) return [path.join(' ')];
  return command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
}

test('every command that changes something leaves an entry', { timeout: 300_000 }, async () => {
  const { home } = server.config;
  process.env['ESPALIER_HOME'] = home;
  process.env['ESPALIER_THREADS'] = '1';
  const file = await call('POST', '/v1/files', form('file', chatLines(8)));
  const job = await call('POST', '/v1/fine_tuning/jobs', { model: 'tiny', training_file: file['id'] });
  const id = String(job['id']);
  const one = server.adapterPath('acme/reply');
  const two = server.adapterPath('acme/other');
  const data = join(home, 'held-out.jsonl');
  writeFileSync(data, chatLines(4));
  const commands: readonly (readonly [name: string, action: string, args: readonly string[]])[] = [
    ['tenants create', 'tenant.create', ['initech']],
    ['tenants set', 'tenant.change', ['initech', '--weight', '2']],
    ['keys create', 'key.create', ['initech']],
    ['keys revoke', 'key.revoke', []],
    ['tenants remove', 'tenant.remove', ['initech']],
    ['tenants create', 'tenant.create', ['initech']],
    ['adapters publish', 'adapter.publish', [one, 'initech/task', '--base', 'tiny']],
    ['adapters import', 'adapter.publish', [two, 'initech/task', '--base', 'tiny']],
    ['adapters promote', 'adapter.promote', ['initech/task@1']],
    ['adapters rollback', 'adapter.rollback', ['initech/task']],
    ['adapters tag', 'adapter.tag', ['initech/task@1', 'gold']],
    ['routes split', 'route.split', ['initech/task', '1=1']],
    ['routes clear', 'route.split', ['initech/task']],
    ['routes gate', 'gate.set', ['initech/task', '--data', data, '--metric', 'loss', '--threshold', '0.1']],
    ['routes canary start', 'canary.start', ['initech/task@2', '--share', '0.5', '--no-gate']],
    ['routes canary stop', 'canary.stop', ['initech/task']],
    ['routes shadow start', 'shadow.start', ['initech/task@2', '--share', '0.5']],
    ['routes shadow stop', 'shadow.stop', ['initech/task']],
    ['routes gate', 'gate.remove', ['initech/task', '--clear']],
    ['adapters remove', 'adapter.remove', ['initech/task@1']],
    ['adapters publish', 'adapter.publish', [one, 'initech/task', '--base', 'tiny']],
    ['adapters gc', 'adapter.remove', ['initech', '--keep', '1']],
    ['jobs pause', 'job.pause', [id]],
    ['jobs resume', 'job.resume', [id]],
    ['jobs cancel', 'job.cancel', [id]],
    ['usage prices', 'prices.set', ['initech', '--prompt', '1', '--currency', 'EUR']],
    ['tenants erase', 'tenant.erase', ['initech']],
  ];
  for (const [name, action, args] of commands) {
    const before = lastSeq();
    const given = name === 'keys revoke' ? server.platform.keys.list('initech').map(({ keyId }) => keyId) : args;
    // In this process, because starting a program for each would take longer than all of them.
    await makeProgram().parseAsync(['node', 'espalier', ...name.split(' '), ...given]);
    const entries = entriesSince(before);
    assert.deepEqual(
      entries.map((entry) => [entry.action, entry.actor]),
      [[action, 'cli']],
      name,
    );
    const whose = action === 'tenant.erase' ? null : name.startsWith('jobs') ? 'acme' : 'initech';
    assert.equal(entries[0].tenant, whose, name);
  }
  const recorded = new Set(commands.map(([name]) => name));
  // What trains or combines publishes as `adapters publish` does, by the same function.
  const publishing = ['train', 'adapters convert', 'adapters merge', 'adapters retrain'];
  const known = [...recorded, ...UNRECORDED, ...publishing].toSorted();
  assert.deepEqual(leaves(makeProgram()).toSorted(), known, 'every command is in one of the lists');

  const verdict = await runJson<AuditVerdict>(['audit', 'verify'], { home });
  assert.ok(verdict.head);
  assert.deepEqual([verdict.problems, verdict.numEntries], [[], lastSeq()]);
  const wrong = await run(['audit', 'verify', '--known', `${verdict.head.seq}:${'0'.repeat(64)}`], { home });
  assert.deepEqual([wrong.code, /another hash/.test(wrong.stdout)], [1, true]);
  assert.match((await run(['audit', 'list', 'initech', '--limit', '1'], { home })).stdout, /^none/);
});
