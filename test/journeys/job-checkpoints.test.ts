/** The checkpoints of a job are versions like any others: a tenant names one, or removes one, while the job goes on. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
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

before(async () => {
  const keys = await makeTuningHome(home, folder.join('tiny'), ['acme']);
  server = await startServe(['--base', 'tiny'], { home });
  client = new OpenAI({ apiKey: keys.get('acme'), baseURL: `${server.url}/v1`, maxRetries: 0 });
});
after(async () => {
  await server?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

test('a checkpoint that the tenant has named or removed does not fail the job', { timeout: 300_000 }, async () => {
  const { jobs } = client.fineTuning;
  const file = await toFile(Buffer.from(chatLines(40)), 'x.jsonl');
  const { id: training_file } = await client.files.create({ file, purpose: 'fine-tune' });
  const hyperparameters = { n_epochs: 25, batch_size: 1 };
  const method = { type: 'supervised' as const, supervised: { hyperparameters } };
  const { id } = await jobs.create({ model: 'tiny', training_file, seed: 1, method });
  const numCheckpoints = async (): Promise<number> => (await jobs.checkpoints.list(id)).data.length;
  while ((await numCheckpoints()) < 2) await sleep(5);
  await client.post(`/fine_tuning/jobs/${id}/pause`);
  while ((await jobs.retrieve(id)).status !== ('paused' as string)) await sleep(20);
  const versionsOf = async (): Promise<number[]> =>
    (await runJson<AdapterVersion[]>(['adapters', 'list', 'acme'], { home }))
      .filter(({ task }) => task === 'ft-checkpoints')
      .map(({ version }) => version);
  const [named, removed] = await versionsOf();
  for (const command of [
    ['promote', `acme/ft-checkpoints@${named}`, '--alias', 'good'],
    ['remove', `acme/ft-checkpoints@${removed}`],
  ]) {
    const { code, stderr } = await run(['adapters', ...command], { home });
    assert.equal(code, 0, stderr);
  }
  await client.post(`/fine_tuning/jobs/${id}/resume`);
  let job: OpenAI.FineTuning.FineTuningJob;
  do {
    await sleep(50);
    job = await jobs.retrieve(id);
    assert.notEqual(job.status, 'failed', job.error?.message);
  } while (job.status !== 'succeeded');
  const left = await versionsOf();
  assert.ok(left.includes(named) && !left.includes(removed), `${left.join(' ')} of ${named} and ${removed}`);
  assert.equal(await numCheckpoints(), 3, 'the last ones');
});
