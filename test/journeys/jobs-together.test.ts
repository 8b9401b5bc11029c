/** Jobs of several tenants in one training process: each ends as it does alone, and what happens to one or to the process happens to no other's result. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { childrenOf, startServe, TemporaryFolder, type RunningServe } from '../support/processes.ts';
import { chatLines } from '../support/tuning-data.ts';
import { makeTuningHome } from '../support/tuning-home.ts';
import { outcomeOf } from '../support/tuning-outcomes.ts';

const TENANTS = ['acme', 'globex', 'calm'] as const;
type Tenant = (typeof TENANTS)[number];

interface Asked {
  readonly seed: number;
  readonly epochs: number;
  readonly examples: number;
}
const FIRST: Asked = { seed: 1, epochs: 12, examples: 30 };
const SECOND: Asked = { seed: 2, epochs: 10, examples: 40 };
/** Longer than any test. */
const ENDLESS: Asked = { seed: 3, epochs: 50, examples: 300 };

const folder = new TemporaryFolder();
const home = folder.join('home');
let keys: ReadonlyMap<string, string>;
let server: RunningServe;

before(async () => {
  keys = await makeTuningHome(home, folder.join('tiny'), TENANTS);
  await start();
});
after(async () => {
  await server?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

async function start(more: readonly string[] = []): Promise<void> {
  server = await startServe(['--base', 'tiny', ...more], { home });
}

const clientOf = (tenant: Tenant): OpenAI =>
  new OpenAI({ apiKey: keys.get(tenant), baseURL: `${server.url}/v1`, maxRetries: 0 });

async function create(tenant: Tenant, { seed, epochs, examples }: Asked): Promise<string> {
  const client = clientOf(tenant);
  const upload = async (text: string): Promise<string> =>
    (await client.files.create({ file: await toFile(Buffer.from(text), 'x.jsonl'), purpose: 'fine-tune' })).id;
  const { id } = await client.fineTuning.jobs.create({
    model: 'tiny',
    training_file: await upload(chatLines(examples, seed)),
    validation_file: await upload(chatLines(4, 400)),
    suffix: `seed-${seed}`,
    seed,
    method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: epochs, batch_size: 1 } } },
  });
  return id;
}

async function eventsOf(tenant: Tenant, id: string) {
  const events = [];
  for await (const event of clientOf(tenant).fineTuning.jobs.listEvents(id, { limit: 1000 })) events.push(event);
  return events;
}

async function stepOf(tenant: Tenant, id: string): Promise<number> {
  const events = await eventsOf(tenant, id);
  return Math.max(0, ...events.map(({ data }) => (data as { step?: number } | null)?.step ?? 0));
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await sleep(20);
}

const trainers = (): number[] => childrenOf(server.program.pid);
const statusOf = async (tenant: Tenant, id: string): Promise<string> =>
  (await clientOf(tenant).fineTuning.jobs.retrieve(id)).status;
const numStarts = async (tenant: Tenant, id: string): Promise<number> =>
  (await eventsOf(tenant, id)).filter(({ message }) => message === 'Fine-tuning job started.').length;

test('two tenants’ jobs share a process; pausing one and cancelling another leaves the third alone', async () => {
  const doomed = await create('acme', ENDLESS);
  await until(async () => (await stepOf('acme', doomed)) > 2);
  const [process] = trainers();
  const [first, second] = [await create('acme', FIRST), await create('globex', SECOND)];
  await until(async () => (await stepOf('acme', first)) > 2 && (await stepOf('globex', second)) > 2);
  assert.deepEqual(trainers(), [process], 'they have come to the job that was there');

  await clientOf('globex').fineTuning.jobs.pause(second);
  const pausedAt = await stepOf('globex', second);
  const before = await stepOf('acme', doomed);
  await until(async () => (await stepOf('acme', doomed)) > before + 5);
  assert.equal(await stepOf('globex', second), pausedAt);
  await clientOf('globex').fineTuning.jobs.resume(second);
  await until(async () => (await stepOf('globex', second)) > pausedAt);
  await clientOf('acme').fineTuning.jobs.cancel(doomed);

  const outcomes = [await outcomeOf(clientOf('acme'), first), await outcomeOf(clientOf('globex'), second)];
  assert.equal(await statusOf('acme', doomed), 'cancelled');
  assert.deepEqual([await numStarts('acme', first), await numStarts('globex', second)], [1, 2]);
  await until(() => Promise.resolve(trainers().length === 0));
  assert.deepEqual(outcomes, await alone());
});

test('when the process is killed, each of its jobs goes on and ends as it does alone', async () => {
  const [first, second] = [await create('acme', FIRST), await create('globex', SECOND)];
  await until(async () => (await stepOf('acme', first)) > 2 && (await stepOf('globex', second)) > 2);
  const [pid, ...others] = trainers();
  assert.deepEqual(others, []);
  process.kill(pid, 'SIGKILL');
  const outcomes = [await outcomeOf(clientOf('acme'), first), await outcomeOf(clientOf('globex'), second)];
  assert.deepEqual([await numStarts('acme', first), await numStarts('globex', second)], [2, 2]);
  assert.deepEqual(outcomes, await alone());
});

let expected: Promise<unknown[]> | undefined;

/** What the two jobs come to in processes of their own, on a server that shares none. */
async function alone(): Promise<unknown[]> {
  expected ??= (async () => {
    await restart(['--jobs-together', '1']);
    const ids = [await create('calm', FIRST), await create('calm', SECOND)];
    const outcomes = [];
    for (const id of ids) outcomes.push(await outcomeOf(clientOf('calm'), id));
    await restart();
    return outcomes;
  })();
  return expected;
}

async function restart(more: readonly string[] = []): Promise<void> {
  server.program.kill('SIGTERM');
  await server.program.finished;
  await start(more);
}
