/** A tenant is erased: no byte of its own is left under the home folder, others keep all of theirs, and a killed erasure goes on. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { eraseTenantCommand, importAdapter, openPlatform, verifyAdapters } from '../../src/app/index.ts';
import { verifyChain } from '../../src/audit/index.ts';
import { tenantTables } from '../../src/storage/index.ts';
import { Program, runJson, startServe, TemporaryFolder } from '../support/processes.ts';
import { startTinyServer, type TinyServer } from '../support/tiny-server.ts';

/** Words that are nowhere but in what the tenant has. Its name is one of them. */
const GONE = 'zebra-quartz';
const MARKS = {
  tenant: GONE,
  data: 'MARK-DATA-7f3a',
  unfinished: 'MARK-PART-91bc',
  filename: 'MARK-NAME-a55e',
  metadata: 'MARK-META-c01d',
  task: 'mark-task-3d7f',
  suffix: 'mark-suffix-88e2',
  tag: 'mark-tag-5b1c',
  label: 'MARK-KEY-LABEL-1f',
  project: 'mark-project-44',
  alias: 'mark-alias-20',
  card: 'MARK-CARD-e6d9',
  gate: 'MARK-GATE-77aa',
} as const;

const SHAPE = { rank: 4, targets: ['q_proj'] } as const;
let server: TinyServer;
const keys = { gone: '', stays: '', operator: '' };
/** Bytes of the tenant's adapters that nobody else has. */
const weights: Buffer[] = [];

/** Where under a folder any of these bytes are, and which: every file, whole. */
function found(folder: string, marks: Readonly<Record<string, string | Buffer>>): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) => {
    const path = join(entry.parentPath, entry.name);
    const named = Object.entries(marks).filter(([, mark]) => path.includes(mark.toString('latin1')));
    // What a job on its way has just renamed is found under its new name.
    const bytes = entry.isFile() && existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    const held = Object.entries(marks).filter(([, mark]) => bytes.includes(mark));
    return [...named, ...held].map(([name]) => name);
  });
}

function clientOf(apiKey: string): OpenAI {
  return new OpenAI({ apiKey, baseURL: `${server.url}/v1`, maxRetries: 0 });
}

function lines(mark: string, count: number): string {
  const line = (n: number) => ({
    messages: [
      { role: 'user', content: `${mark} ${n}` },
      { role: 'assistant', content: 'yes' },
    ],
  });
  return Array.from({ length: count }, (_, n) => `${JSON.stringify(line(n))}\n`).join('');
}

async function createJob(epochs: number): Promise<string> {
  const client = clientOf(keys.gone);
  const file = await toFile(Buffer.from(lines(MARKS.data, 20)), `${MARKS.filename}.jsonl`);
  const { id: training_file } = await client.files.create({ file, purpose: 'fine-tune' });
  const job = await client.fineTuning.jobs.create({
    model: 'tiny',
    training_file,
    suffix: MARKS.suffix,
    metadata: { note: MARKS.metadata },
    method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: epochs, batch_size: 1 } } },
  });
  return job.id;
}

before(async () => {
  server = await startTinyServer({
    // The second of each has the same content.
    adapters: { 'stays/reply': { seed: 1, ...SHAPE }, 'stays/same': { seed: 2, ...SHAPE } },
    serve: { jobs: 1 },
  });
  const { platform, config } = server;
  keys.stays = server.keyOf('stays');
  keys.operator = platform.keys.create({ tenant: null, role: 'admin' }).secret;
  platform.tenants.create(GONE);
  const asked = { tenant: GONE, role: 'admin', label: MARKS.label, project: MARKS.project } as const;
  keys.gone = platform.keys.create(asked).secret;
  const own = server.adapterPath('stays/reply');
  cpSync(own, join(own, '..', 'own'), { recursive: true });
  const folder = join(own, '..', 'own');
  writeFileSync(join(folder, 'README.md'), `# ${MARKS.card}\n`);
  const { writeRandomAdapter } = await import('../support/tiny-adapters.ts');
  const { tinySites } = await import('../support/tiny-base.ts');
  writeRandomAdapter(folder, tinySites(), { seed: 77, ...SHAPE });
  weights.push(readFileSync(join(folder, 'adapter_model.safetensors')).subarray(-256));
  await importAdapter(config, folder, `${GONE}/${MARKS.task}`, 'tiny');
  await importAdapter(config, server.adapterPath('stays/same'), `${GONE}/shared`, 'tiny');
  platform.registry.promote(GONE, `${GONE}/${MARKS.task}@1`, MARKS.alias);
  platform.registry.tag(GONE, `${GONE}/${MARKS.task}@1`, { add: [MARKS.tag], remove: [] });
  platform.registry.setSplit(GONE, MARKS.task, [{ version: MARKS.alias, weight: 1 }]);
  const gateData = join(folder, '..', 'gate.jsonl');
  writeFileSync(gateData, lines(MARKS.gate, 2));
  const gate = { metric: 'loss', dataName: 'gate.jsonl', threshold: 9, tolerance: null, maxTokens: 8 } as const;
  await platform.delivery.gates.set(GONE, MARKS.task, gateData, gate);
  rmSync(gateData);
  platform.prices.set(GONE, { currency: 'EUR', prompt: 1 });
});
after(() => server?.[Symbol.asyncDispose]());

const hello = { messages: [{ role: 'user' as const, content: 'hello '.repeat(60) }], max_tokens: 4, temperature: 0 };

test(
  'whatever a tenant has is gone without a trace, and others keep what is theirs',
  { timeout: 300_000 },
  async () => {
    const { platform, config } = server;
    const client = clientOf(keys.gone);
    // A job that ends, and one that is on its way when the tenant goes.
    const done = await createJob(1);
    while ((await client.fineTuning.jobs.retrieve(done)).status !== 'succeeded') await sleep(100);
    const upload = {
      bytes: 900_000,
      filename: `${MARKS.filename}.part`,
      mime_type: 'text/jsonl',
      purpose: 'fine-tune',
    } as const;
    const { id: uploadId } = await client.uploads.create(upload);
    await client.uploads.parts.create(uploadId, {
      data: await toFile(Buffer.from(lines(MARKS.unfinished, 3)), 'part'),
    });
    for (const model of [`${GONE}/${MARKS.task}`, `${GONE}/shared`, 'tiny']) {
      await client.chat.completions.create({ model, ...hello });
    }
    const post = (path: string, body: object, key: string) =>
      fetch(server.url + path, {
        method: 'POST',
        headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      });
    await post('/v1/load_lora_adapter', { lora_name: 'mine', lora_path: `${GONE}/${MARKS.task}` }, keys.gone);
    const others = clientOf(keys.stays);
    const before = await others.chat.completions.create({ model: 'stays/same', ...hello });
    const running = await createJob(50);
    while (!existsSync(join(config.home, 'jobs', running, 'checkpoint.safetensors'))) await sleep(50);
    platform.usage.flush();

    const version = platform.registry.resolve(GONE, platform.jobs.get(GONE, done).reference ?? '');
    const folder = await platform.registry.materialise(version);
    const trained = readFileSync(join(folder, 'adapter_model.safetensors')).subarray(-256);
    const marks = { ...MARKS, weights: weights[0], trained, running, done };
    const there = new Set(found(config.home, marks));
    assert.deepEqual([...there].toSorted(), Object.keys(marks).toSorted(), 'every mark can be found while it is there');
    const erase = async (query: string): Promise<Record<string, number | string | null>> => {
      const headers = { Authorization: `Bearer ${keys.operator}` };
      const response = await fetch(`${server.url}/api/tenants/${GONE}?${query}`, { method: 'DELETE', headers });
      assert.equal(response.status, 200, await response.clone().text());
      return (await response.json()) as Record<string, number | string | null>;
    };
    const planned = await erase('erase=true&dry_run=true');
    assert.deepEqual([planned['id'], planned['jobs'], planned['files'], planned['keys']], [null, 2, 3, 1]);
    assert.ok(found(config.home, marks).length > 0, 'a dry run takes nothing');
    const report = await erase('erase=true');
    assert.match(String(report['id']), /^erasure_/);
    assert.ok(Number(report['adapters']) >= 3 && Number(report['job_bytes']) > 0, JSON.stringify(report));
    assert.ok(Number(report['blobs_shared']) > 0 && Number(report['blobs_removed']) > 5, JSON.stringify(report));

    assert.deepEqual(found(config.home, marks), []);
    await assert.rejects(client.models.list(), { status: 401 });
    const { database, audit, usage } = platform;
    for (const table of tenantTables(database)) {
      assert.deepEqual(database.all(`SELECT 1 FROM "${table}" WHERE tenant = ?`, GONE), [], table);
    }
    const verdict = verifyChain(audit);
    assert.deepEqual(verdict.problems, []);
    assert.equal(verdict.numErased, report['audit_entries']);
    assert.equal(audit.list({ limit: 1 }).items[0].action, 'tenant.erase');
    const sums = usage.read(null, '2000-01-01', '9999-12-31').filter(({ tenant }) => tenant === '(erased)');
    assert.equal(
      sums.reduce((sum, { requests }) => sum + requests, 0),
      3,
      'what was used is kept, as sums',
    );
    // Nobody has its adapters in memory any more; the other tenant’s stay.
    const headers = { Authorization: `Bearer ${keys.operator}` };
    const resident = (await (await fetch(`${server.url}/v1/lora_adapters`, { headers })).json()) as {
      data: { id: string }[];
    };
    assert.equal(resident.data.length, 1, JSON.stringify(resident));
    const again = await others.chat.completions.create({ model: 'stays/same', ...hello });
    assert.equal(again.choices[0].message.content, before.choices[0].message.content);
    assert.deepEqual(await verifyAdapters(config), []);
    assert.equal(platform.registry.list('stays').length, 2);
    assert.deepEqual(
      server.errors.filter(({ error }) => String(error).includes('INTERNAL')),
      [],
    );
    // The name can be given again, and has nothing of what was.
    platform.tenants.create(GONE);
    assert.deepEqual([platform.registry.list(GONE), platform.jobs.list(GONE, { limit: 9 }).items], [[], []]);
    const { status } = await fetch(`${server.url}/api/tenants/nobody?erase=true`, { method: 'DELETE', headers });
    assert.equal(status, 404);
  },
);

test('a server forgets a tenant that another process has erased', { timeout: 60_000 }, async () => {
  const { platform, config } = server;
  platform.tenants.create('brief');
  const key = platform.keys.create({ tenant: 'brief', role: 'reader' }).secret;
  await importAdapter(config, server.adapterPath('stays/same'), 'brief/same', 'tiny');
  await importAdapter(config, join(server.adapterPath('stays/reply'), '..', 'own'), 'brief/own', 'tiny');
  for (const model of ['brief/own', 'brief/same']) await clientOf(key).chat.completions.create({ model, ...hello });
  const resident = async (): Promise<number> => {
    const headers = { Authorization: `Bearer ${keys.operator}` };
    const response = await fetch(`${server.url}/v1/lora_adapters`, { headers });
    return ((await response.json()) as { data: unknown[] }).data.length;
  };
  assert.equal(await resident(), 2);
  await eraseTenantCommand(config, 'cli', 'brief', false);
  while ((await resident()) !== 1) await sleep(100);
  // What a key or a job had on the way when they went leaves nothing.
  const late = { tenant: 'brief', action: 'file.create', target: 'file-1' };
  assert.throws(() => platform.audit.record({ ...late, actor: 'key_gone' }), { code: 'KEY_INVALID' });
  assert.throws(() => platform.audit.record({ ...late, actor: 'job:ftjob-gone' }), { code: 'CANCELLED' });
});

test('an erasure that is killed at any moment goes on', { timeout: 300_000 }, async () => {
  using folder = new TemporaryFolder();
  const { home: first } = server.config;
  const template = folder.join('template');
  cpSync(first, template, { recursive: true });
  const marks = { tenant: GONE, weights: weights[0], data: MARKS.data };
  {
    const config = { ...server.config, home: template };
    await using platform = await openPlatform(config);
    await importAdapter(config, join(server.adapterPath('stays/reply'), '..', 'own'), `${GONE}/x`, 'tiny');
    const verdict = { form: 'chat', examples: 1, problem: null };
    for (let n = 0; n < 40; n++) {
      const file = { tenant: GONE, filename: 'x', purpose: 'fine-tune', lifetimeMs: null, verdict } as const;
      await platform.files.stage([Buffer.from(lines(`${MARKS.data} ${n}`, 1))], 10_000, (blob) =>
        platform.files.add(file, blob),
      );
    }
  }
  assert.ok(found(template, marks).length > 40);
  let numInterrupted = 0;
  for (const delayMs of [0, 10, 25, 60]) {
    const home = folder.join(`home-${delayMs}`);
    cpSync(template, home, { recursive: true });
    await using platform = await openPlatform({ ...server.config, home });
    const program = new Program(['tenants', 'erase', GONE], { home });
    // From its order on: before, nothing has happened.
    while (platform.erasures.unfinished().length === 0 && platform.tenants.find(GONE)) await sleep(1);
    await sleep(delayMs);
    program.killAll();
    await program.finished;
    if (platform.erasures.unfinished().length > 0) numInterrupted++;
    const isNamed = platform.erasures.unfinished().some(({ tenant }) => tenant === GONE);
    if (isNamed && delayMs > 0) {
      await runJson(['tenants', 'erase', GONE], { home });
    } else {
      // The next server ends it before it answers.
      await using _server = await startServe(['--base', 'tiny', '--no-jobs'], { home });
    }
    assert.deepEqual(platform.erasures.unfinished(), []);
    assert.deepEqual(found(home, marks), [], `killed after ${delayMs} ms`);
    assert.deepEqual(verifyChain(platform.audit).problems, []);
    assert.equal(platform.registry.list('stays').length, 2);
  }
  assert.ok(numInterrupted > 0, 'at least one was killed in its midst');
});
