/** `espalier jobs` beside a server that queues jobs and leaves them to others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI, { toFile } from 'openai';
import type { Job, JobEvent } from '../../src/app/index.ts';
import { run, runJson, startServe, TemporaryFolder } from '../support/processes.ts';
import { writeTinyBase } from '../support/tiny-base.ts';
import { chatLines } from '../support/tuning-data.ts';

test('jobs are listed, shown, paused, resumed and cancelled from the command line', { timeout: 300_000 }, async () => {
  using folder = new TemporaryFolder();
  const home = folder.join('home');
  writeTinyBase(folder.join('tiny'));
  await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], { home });
  await runJson(['tenants', 'create', 'acme'], { home });
  const { secret } = await runJson<{ secret: string }>(['keys', 'create', 'acme', '--role', 'writer'], { home });
  await using server = await startServe(['--base', 'tiny', '--no-jobs'], { home });
  const client = new OpenAI({ apiKey: secret, baseURL: `${server.url}/v1`, maxRetries: 0 });
  const file = await toFile(Buffer.from(chatLines(4)), 'x.jsonl');
  const { id: training_file } = await client.files.create({ file, purpose: 'fine-tune' });
  const { id } = await client.fineTuning.jobs.create({ model: 'tiny', training_file, suffix: 'parity' });

  const listed = await runJson<Job[]>(['jobs', 'list'], { home });
  assert.deepEqual(
    listed.map((job) => [job.id, job.tenant, job.status]),
    [[id, 'acme', 'validating_files']],
  );
  assert.deepEqual(await runJson(['jobs', 'list', 'globex'], { home }), []);
  assert.deepEqual(await runJson<Job>(['jobs', 'show', id], { home }), listed[0]);
  const order = async (name: string): Promise<string> => (await runJson<Job>(['jobs', name, id], { home })).status;
  assert.equal(await order('pause'), 'paused');
  assert.equal((await client.fineTuning.jobs.retrieve(id)).status, 'paused');
  assert.equal(await order('resume'), 'validating_files');
  assert.equal(await order('cancel'), 'cancelled');
  const refused = await run(['jobs', 'resume', id], { home });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /is cancelled: it is too late/);
  const events = await runJson<JobEvent[]>(['jobs', 'events', id, '--limit', '2'], { home });
  assert.deepEqual(
    events.map(({ message }) => message),
    ['The job has been cancelled.', 'The job has been resumed.'],
  );
  assert.match((await run(['jobs', 'show', 'ftjob-none'], { home })).stderr, /no fine-tuning job "ftjob-none"/);
  for (const args of [['list'], ['show', id], ['events', id]]) {
    const { code, stdout } = await run(['jobs', ...args], { home });
    assert.equal(code, 0);
    assert.match(stdout, args[0] === 'events' ? /cancelled/ : new RegExp(id));
  }
});
