/** What a job has reached: its checkpoints are versions that a tenant may name or remove meanwhile, and a server that cannot go on from them starts it anew. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import type { AdapterVersion } from '../../src/app/index.ts';
import { run, runJson, startServe, TemporaryFolder, type RunningServe } from '../support/processes.ts';
import { chatLines } from '../support/tuning-data.ts';
import { makeTuningHome } from '../support/tuning-home.ts';

const folder = new TemporaryFolder();
const home = folder.join('home');
let server: RunningServe;
let client: OpenAI;

let keys: ReadonlyMap<string, string>;
/** That jobs which are alike have trained on, each to its end. */
const tokensOfAll = new Set<number>();

/** What a server may find of a job's checkpoint, how it comes to be so, and what the job says. */
const UNUSABLE: readonly { tenant: string; what: string; damage: (checkpoint: string) => void; why: RegExp }[] = [
  {
    tenant: 'globex',
    what: 'is of another version of the program',
    damage(checkpoint) {
      const bytes = readFileSync(checkpoint);
      const at = bytes.indexOf('\\"version\\":');
      assert.ok(at > 0);
      bytes.write('9', bytes.indexOf(':', at) + 1);
      writeFileSync(checkpoint, bytes);
    },
    why: /the server has changed since its checkpoint was written/,
  },
  {
    tenant: 'hooli',
    what: 'is not whole',
    damage: (checkpoint) => truncateSync(checkpoint, 1000),
    why: /its checkpoint cannot be read/,
  },
  {
    tenant: 'umbrella',
    what: 'is gone with the folder that it was in',
    damage: (checkpoint) => rmSync(dirname(checkpoint), { recursive: true }),
    why: /there is no checkpoint of what it had reached/,
  },
];

before(async () => {
  keys = await makeTuningHome(home, folder.join('tiny'), ['acme', 'initech', ...UNUSABLE.map(({ tenant }) => tenant)]);
});
afterEach(() => server?.[Symbol.asyncDispose]());
after(() => folder[Symbol.dispose]());

async function start(tenant: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
  server = await startServe(['--base', 'tiny'], { home, env });
  client = new OpenAI({ apiKey: keys.get(tenant), baseURL: `${server.url}/v1`, maxRetries: 0 });
}

async function createJob(n_epochs: number): Promise<string> {
  const file = await toFile(Buffer.from(chatLines(40)), 'x.jsonl');
  const { id: training_file } = await client.files.create({ file, purpose: 'fine-tune' });
  const method = { type: 'supervised' as const, supervised: { hyperparameters: { n_epochs, batch_size: 1 } } };
  return (await client.fineTuning.jobs.create({ model: 'tiny', training_file, seed: 1, method })).id;
}

/** A job that has two checkpoints, and is paused. */
async function pausedJob(): Promise<string> {
  const { jobs } = client.fineTuning;
  const id = await createJob(25);
  while ((await jobs.checkpoints.list(id)).data.length < 2) await sleep(5);
  await client.post(`/fine_tuning/jobs/${id}/pause`);
  while ((await jobs.retrieve(id)).status !== ('paused' as string)) await sleep(20);
  return id;
}

async function resumeToTheEnd(id: string): Promise<void> {
  await client.post(`/fine_tuning/jobs/${id}/resume`);
  const { status, error } = await endOf(id);
  assert.equal(status, 'succeeded', error?.message);
}

async function endOf(id: string): Promise<OpenAI.FineTuning.FineTuningJob> {
  for (;;) {
    const job = await client.fineTuning.jobs.retrieve(id);
    if (job.finished_at !== null || job.status === 'failed') return job;
    await sleep(50);
  }
}

async function eventsOf(id: string): Promise<string[]> {
  const { data } = await client.fineTuning.jobs.listEvents(id, { limit: 2000 });
  return data.map(({ message }) => message);
}

async function versionsOf(tenant: string): Promise<number[]> {
  const versions = await runJson<AdapterVersion[]>(['adapters', 'list', tenant], { home });
  return versions.filter(({ task }) => task === 'ft-checkpoints').map(({ version }) => version);
}

test('a checkpoint that the tenant has named or removed does not fail the job', { timeout: 300_000 }, async () => {
  await start('acme');
  const id = await pausedJob();
  const [named, removed] = await versionsOf('acme');
  for (const command of [
    ['promote', `acme/ft-checkpoints@${named}`, '--alias', 'good'],
    ['remove', `acme/ft-checkpoints@${removed}`],
  ]) {
    const { code, stderr } = await run(['adapters', ...command], { home });
    assert.equal(code, 0, stderr);
  }
  await resumeToTheEnd(id);
  const left = await versionsOf('acme');
  assert.ok(left.includes(named) && !left.includes(removed), `${left.join(' ')} of ${named} and ${removed}`);
  assert.equal((await client.fineTuning.jobs.checkpoints.list(id)).data.length, 3, 'the last ones');
});

for (const { tenant, what, damage, why } of UNUSABLE) {
  test(
    `a job whose checkpoint ${what} starts anew, and shows what is true from then on`,
    { timeout: 300_000 },
    async () => {
      await start(tenant);
      const id = await pausedJob();
      const stepsOf = async (): Promise<number[]> => {
        const { data } = await client.fineTuning.jobs.listEvents(id, { limit: 2000 });
        const steps = data
          .map(({ message }) => /^Step (\d+)\//.exec(message)?.[1])
          .filter((step) => step !== undefined);
        return steps.map(Number).toReversed();
      };
      assert.ok((await stepsOf()).length > 1);
      await server[Symbol.asyncDispose]();
      damage(folder.join('home', 'jobs', id, 'checkpoint.safetensors'));

      await start(tenant);
      await resumeToTheEnd(id);
      const { data } = await client.fineTuning.jobs.listEvents(id, { limit: 2000 });
      const anew = data.findIndex(({ message }) => message.startsWith('The job starts anew'));
      assert.match(data[anew]?.message ?? 'no event says so', why);
      assert.equal(data[anew]?.level, 'warn');
      assert.ok(!data.slice(anew).some(({ message }) => message.startsWith('Step')), 'what was told before is gone');
      const steps = await stepsOf();
      assert.deepEqual(
        steps,
        steps.map((_, n) => n + 1),
        'every step is told once',
      );
      assert.equal((await versionsOf(tenant)).length, 3, 'the checkpoints of before are gone');
      const { trained_tokens: tokens, result_files: files } = await client.fineTuning.jobs.retrieve(id);
      assert.ok(tokens);
      tokensOfAll.add(tokens);
      assert.equal(tokensOfAll.size, 1, 'nothing is counted twice');
      const csv = await (await client.files.content(files[0])).text();
      assert.deepEqual(
        csv
          .trim()
          .split('\n')
          .slice(1)
          .map((line) => Number(line.split(',')[0])),
        steps,
      );
    },
  );
}

test('a job is proved as any other adapter; it leaves out checkpoints without room, and fails without room before it computes', async () => {
  await start('initech');
  const { code, stderr } = await run(['tenants', 'set', 'initech', '--max-adapters', '1'], { home });
  assert.equal(code, 0, stderr);
  const id = await createJob(3);
  const job = await endOf(id);
  assert.equal(job.status, 'succeeded', job.error?.message);
  const [leftOut] = (await eventsOf(id)).filter((message) => message.startsWith('The checkpoint at step'));
  assert.match(leftOut ?? '', /is left out: initech has 0 adapter versions and may have 1, and 1 more must have room/);
  const [version, ...more] = await runJson<AdapterVersion[]>(['adapters', 'list', 'initech'], { home });
  assert.deepEqual(more, []);
  const [apart, change] = ['parityError', 'changeOfLogits'].map((figure) => Number(version?.provenance[figure]));
  assert.ok(apart < 1e-4 && change > 1e-3, `${apart} ${change}`);
  const second = await createJob(3);
  const { status, error } = await endOf(second);
  assert.deepEqual([status, error?.code], ['failed', 'quota_exceeded']);
  assert.match(error?.message ?? '', /initech has 1 adapter versions and may have 1/);
  assert.ok(!(await eventsOf(second)).some((message) => message.startsWith('Step')), 'nothing was computed');
});
