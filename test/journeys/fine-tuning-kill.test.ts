/** kill -9 of the server, of its trainer and of both at random moments: every job ends once, as if nothing had happened. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import type { AdapterVersion } from '../../src/app/index.ts';
import { Rng } from '../../src/base/index.ts';
import { childrenOf, runJson, startServe, TemporaryFolder, type RunningServe } from '../support/processes.ts';
import { chatLines } from '../support/tuning-data.ts';
import { makeTuningHome } from '../support/tuning-home.ts';
import { outcomeOf } from '../support/tuning-outcomes.ts';

const TENANTS = ['acme', 'globex'];
const SEEDS = [1, 2];
/** Nobody kills its jobs: what they come to is what the others' must come to. */
const CALM = 'calm';
/** Its job loses the name of a checkpoint. */
const FORGETFUL = 'forgetful';
const KILLS = ['server', 'both', 'trainer', 'server', 'both', 'trainer', 'both', 'server'] as const;
const MAX_LIFE_MS = 1500;

const folder = new TemporaryFolder();
const home = folder.join('home');
let keys: ReadonlyMap<string, string>;
let server: RunningServe;

before(async () => {
  keys = await makeTuningHome(home, folder.join('tiny'), [...TENANTS, CALM, FORGETFUL]);
});
after(async () => {
  await server?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const start = async (more: readonly string[] = []): Promise<void> => {
  server = await startServe(['--base', 'tiny', '--jobs', '2', ...more], { home });
};
const clientOf = (tenant: string): OpenAI =>
  new OpenAI({ apiKey: keys.get(tenant), baseURL: `${server.url}/v1`, maxRetries: 0 });

async function createJob(tenant: string, seed: number, epochs = 3): Promise<string> {
  const client = clientOf(tenant);
  const upload = async (text: string): Promise<string> =>
    (await client.files.create({ file: await toFile(Buffer.from(text), 'x.jsonl'), purpose: 'fine-tune' })).id;
  const { id } = await client.fineTuning.jobs.create({
    model: 'tiny',
    training_file: await upload(chatLines(40)),
    validation_file: await upload(chatLines(4, 40)),
    suffix: 'parity',
    seed,
    method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: epochs, batch_size: 1 } } },
  });
  return id;
}

test('jobs end once and in the same bytes, whatever is killed while they run', { timeout: 600_000 }, async (t) => {
  const rng = Rng.fromSeed(7);
  await start();
  const jobs: [tenant: string, seed: number, id: string][] = [];
  for (const tenant of TENANTS) for (const seed of SEEDS) jobs.push([tenant, seed, await createJob(tenant, seed)]);
  for (const what of KILLS) {
    await sleep(rng.nextFloat() * MAX_LIFE_MS);
    if (what === 'trainer') {
      for (const pid of childrenOf(server.program.pid)) process.kill(pid, 'SIGKILL');
      continue;
    }
    if (what === 'both') server.program.killAll();
    else server.program.kill();
    await server.program.finished;
    await start();
  }
  const outcomes = [];
  for (const [tenant, seed, id] of jobs) outcomes.push({ seed, outcome: await outcomeOf(clientOf(tenant), id) });
  const interruptions = (await Promise.all(jobs.map(([tenant, , id]) => numInterruptions(tenant, id)))).join(', ');
  t.diagnostic(`interruptions of the jobs: ${interruptions}`);

  // What they shared their processes for until now, each does alone.
  server.program.kill('SIGTERM');
  await server.program.finished;
  await start(['--jobs-together', '1']);
  for (const seed of SEEDS) {
    const expected = await outcomeOf(clientOf(CALM), await createJob(CALM, seed));
    for (const { outcome } of outcomes.filter((one) => one.seed === seed)) assert.deepEqual(outcome, expected);
  }
  assert.notEqual(outcomes[0].outcome.digest, outcomes[1].outcome.digest, 'the comparison can fail');

  for (const tenant of [...TENANTS, CALM]) {
    const versions = await runJson<AdapterVersion[]>(['adapters', 'list', tenant], { home });
    const tasks = versions.map(({ task }) => task).toSorted();
    const kept = Array.from({ length: 3 * SEEDS.length }, () => 'ft-checkpoints');
    assert.deepEqual(tasks, [...kept, ...SEEDS.map(() => 'parity')], 'nothing is published twice, and nothing is left');
  }
  const { problems } = await runJson<{ problems: unknown[] }>(['adapters', 'verify'], { home });
  assert.deepEqual(problems, []);
  // The working folders go when the next server starts, at the latest.
  server.program.kill('SIGTERM');
  await server.program.finished;
  await start();
  const left = existsSync(folder.join('home', 'jobs')) ? readdirSync(folder.join('home', 'jobs')) : [];
  assert.deepEqual(left, []);
});

/** Kills a job's server as if that came after its first checkpoint was struck off the list and before the version was removed. */
async function killForgetful(): Promise<{ readonly id: string; readonly database: DatabaseSync }> {
  server.program.kill('SIGTERM');
  await server.program.finished;
  await start();
  const id = await createJob(FORGETFUL, 3, 20);
  while ((await clientOf(FORGETFUL).fineTuning.jobs.checkpoints.list(id)).data.length < 2) await sleep(5);
  server.program.killAll();
  await server.program.finished;
  const database = new DatabaseSync(folder.join('home', 'espalier.db'));
  const first = 'SELECT min(step) FROM job_checkpoints WHERE job = ?1';
  const { changes } = database.prepare(`DELETE FROM job_checkpoints WHERE job = ?1 AND step = (${first})`).run(id);
  assert.equal(changes, 1);
  return { id, database };
}

async function tasksOf(tenant: string): Promise<string[]> {
  const versions = await runJson<AdapterVersion[]>(['adapters', 'list', tenant], { home });
  return versions.map(({ task }) => task).toSorted();
}

test('a checkpoint that a kill left without a name goes when its job goes on', { timeout: 300_000 }, async () => {
  const { id, database } = await killForgetful();
  database.close();
  await start();
  let status: string;
  do {
    await sleep(50);
    status = (await clientOf(FORGETFUL).fineTuning.jobs.retrieve(id)).status;
    assert.notEqual(status, 'failed');
  } while (status !== 'succeeded');
  assert.deepEqual(await tasksOf(FORGETFUL), ['ft-checkpoints', 'ft-checkpoints', 'ft-checkpoints', 'parity']);
});

test('and when its job is cancelled before it could go on, with the working folder', { timeout: 300_000 }, async () => {
  const before = await tasksOf(FORGETFUL);
  const { id, database } = await killForgetful();
  const numNamed = database.prepare('SELECT count(*) AS n FROM job_checkpoints WHERE job = ?').get(id)?.['n'];
  database.prepare("UPDATE jobs SET status = 'cancelled', finished_at = created_at WHERE id = ?").run(id);
  database.close();
  await start();
  const kept = Array.from({ length: Number(numNamed) }, () => 'ft-checkpoints');
  assert.deepEqual(await tasksOf(FORGETFUL), [...before, ...kept].toSorted());
  assert.equal(existsSync(folder.join('home', 'jobs', id)), false);
});

async function numInterruptions(tenant: string, id: string): Promise<number> {
  const { data } = await clientOf(tenant).fineTuning.jobs.listEvents(id, { limit: 1000 });
  return data.filter(({ message }) => /interrupted/.test(message)).length;
}
