/** The queue from both sides: tenants order, runners take, and whoever has lost a job changes nothing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { Clock, Digest } from '../base/index.ts';
import { BlobStore, Database } from '../storage/index.ts';
import { newJob } from '../../test/support/new-job.ts';
import { FileStore } from './files.ts';
import { ALL_AUTO, resolveHyperparameters } from './hyperparameters.ts';
import { JobLeases, type JobLease } from './job-leases.ts';
import { JobQueue } from './job-queue.ts';
import type { Job, NewJob } from './job.ts';
import { JOBS_MIGRATIONS } from './tables.ts';

let now = 1_000_000;
const clock: Clock = { nowMs: () => now, epochMs: () => now };
const digest: Digest = `sha256:${'1'.repeat(64)}`;
const resolved = resolveHyperparameters(ALL_AUTO, 'supervised', { examples: 10, tokens: 100 });

let home: string;
let database: Database;
let files: FileStore;
/** What `files` keeps its bytes in. */
let blobs: BlobStore;
let queue: JobQueue;
let leases: JobLeases;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'espalier-jobs-'));
  now = 1_000_000;
  database = Database.open(join(home, 'espalier.db'), [JOBS_MIGRATIONS], clock);
  files = await FileStore.open(database, home, clock);
  blobs = await BlobStore.open(join(home, 'files'), clock);
  queue = new JobQueue(database, files, clock);
  leases = new JobLeases(database, files, clock);
});
afterEach(() => {
  database.close();
  rmSync(home, { recursive: true });
});

function create(tenant = 'acme', more: Partial<NewJob> = {}): Job {
  return queue.create(newJob(tenant, digest, more));
}

const takeAny = (from = leases): JobLease | undefined => from.take('check') ?? from.take('train');

function take(): JobLease {
  const lease = takeAny();
  assert.ok(lease, 'there is a job');
  return lease;
}

/** A job whose files have been checked, in a runner's hands. */
function running(): JobLease {
  create();
  const checking = take();
  assert.equal(leases.validated(checking, resolved, now), true);
  leases.release(checking);
  return take();
}

async function succeed(lease: JobLease, reference = 'acme/fine-tuned@1'): Promise<boolean> {
  return files.stage([Buffer.from('step\n')], 100, (results) =>
    leases.succeeded(lease, { reference, trainedTokens: 9, results }),
  );
}

const statusOf = (id: string): string => queue.get(null, id).status;
const told = (id: string): string[] => queue.events(null, id, { limit: 100 }).items.map(({ message }) => message);

test('a job goes from validation to its model, one lease after the other', async () => {
  const lease = running();
  assert.equal(takeAny(), undefined, 'it is in one runner’s hands');
  assert.equal(lease.job.status, 'running');
  const metrics = { step: 1, trainLoss: 2, trainAccuracy: 0.5, validLoss: null, validAccuracy: null };
  const event = { level: 'info', message: 'Step 1/2', metrics: { ...metrics, totalSteps: 2 } } as const;
  for (let twice = 0; twice < 2; twice++) assert.equal(leases.tell(lease, [event], now + 5), true);
  assert.deepEqual(leases.stepMetrics(lease), [{ ...metrics, totalSteps: 2 }], 'a step is told once');
  assert.equal(queue.get('acme', lease.job.id).estimatedFinish, now + 5);
  assert.equal(await succeed(lease), true);
  assert.equal(await succeed(lease), false, 'it has ended');
  leases.release(lease);
  const job = queue.get('acme', lease.job.id);
  assert.deepEqual([job.status, job.reference, job.trainedTokens], ['succeeded', 'acme/fine-tuned@1', 9]);
  assert.equal(files.get('acme', job.resultFile ?? '').purpose, 'fine-tune-results');
  assert.equal(queue.findModel('acme', job.modelName)?.reference, 'acme/fine-tuned@1');
  assert.equal(queue.findModel('globex', job.modelName), undefined);
  assert.deepEqual(told(job.id).filter((message) => /completed/.test(message)).length, 1);
  assert.equal(takeAny(), undefined);
});

test('a command of the tenant takes effect at once, and the runner’s report does not count then', async () => {
  const lease = running();
  const { id } = lease.job;
  assert.equal(queue.command('acme', id, 'pause').status, 'paused');
  assert.equal(leases.heartbeat(lease), 'paused');
  assert.equal(await succeed(lease), false);
  assert.equal(leases.tell(lease, [{ level: 'info', message: 'late' }], null), false);
  assert.equal(queue.command('acme', id, 'resume').status, 'queued');
  assert.equal(takeAny(), undefined, 'not before the run has been saved');
  leases.release(lease);
  const again = take();
  assert.equal(again.job.id, id);
  assert.equal(queue.command('acme', id, 'cancel').status, 'cancelled');
  assert.equal(leases.failed(again, { code: 'x', message: 'x', param: null }), false);
  leases.release(again);
  assert.equal(statusOf(id), 'cancelled');
  assert.throws(() => queue.command('acme', id, 'resume'), { code: 'REQUEST_INVALID' });
  assert.throws(() => queue.command('globex', id, 'cancel'), { code: 'JOB_NOT_FOUND' });
});

test('a lease that nobody keeps up is another’s, and the first holder changes nothing any more', async () => {
  const lost = running();
  now += 60_001;
  const next = take();
  assert.equal(next.job.id, lost.job.id);
  assert.ok(told(next.job.id).some((message) => /interrupted/.test(message)));
  assert.equal(leases.heartbeat(lost), undefined);
  assert.equal(await succeed(lost, 'acme/fine-tuned@7'), false);
  assert.equal(leases.failed(lost, { code: 'x', message: 'x', param: null }), false);
  leases.release(lost);
  assert.equal(leases.heartbeat(next), 'running', 'also a lost lease that is given back takes nothing away');
  assert.equal(await succeed(next), true);
  assert.equal(queue.get('acme', next.job.id).reference, 'acme/fine-tuned@1');
});

test('the lease of a process that is gone is free at once', () => {
  const lease = running();
  const { pid } = spawnSync(process.execPath, ['--version']);
  database.run('UPDATE jobs SET lease_pid = ?', pid);
  assert.equal(take().job.id, lease.job.id);
  const other = running();
  const restarted = new JobLeases(database, files, clock);
  // The same number as before the restart, as in a container.
  assert.ok([other.job.id, lease.job.id].includes(takeAny(restarted)?.job.id ?? ''));
});

test('a job has ended when nobody works on it any more, also if whoever did was killed', () => {
  const lease = running();
  const { id } = lease.job;
  assert.deepEqual(leases.ended([id, 'job-unknown']), [{ id: 'job-unknown', job: null }]);
  queue.command('acme', id, 'cancel');
  assert.deepEqual(leases.ended([id]), [], 'its runner has not noticed yet');
  const { pid } = spawnSync(process.execPath, ['--version']);
  database.run('UPDATE jobs SET lease_pid = ?', pid);
  assert.deepEqual(
    leases.ended([id]).map(({ job }) => job?.id),
    [id],
  );
});

for (const ending of ['fails', 'is cancelled'] as const) {
  test(`files that an unfinished job needs stay when they are deleted, and go when it ${ending}`, () =>
    filesGo(ending));
}

async function filesGo(ending: 'fails' | 'is cancelled'): Promise<void> {
  const blob = await files.stage([Buffer.from('{}')], 10, (staged) => {
    const verdict = { form: 'chat', examples: 1, problem: null };
    const file = files.add(
      { tenant: 'acme', filename: 'a.jsonl', purpose: 'fine-tune', lifetimeMs: 1000, verdict },
      staged,
    );
    create('acme', { training: { id: file.id, digest: file.digest } });
    return file;
  });
  now += 1001;
  assert.equal(files.removeExpired(), 1);
  assert.throws(() => files.get('acme', blob.id), { code: 'STORED_FILE_NOT_FOUND' });
  assert.equal(await files.sweep(), 0);
  assert.ok(blobs.has(blob.digest), 'the job needs it');
  if (ending === 'fails') {
    const lease = take();
    leases.failed(lease, { code: 'x', message: 'x', param: null });
    leases.release(lease);
    assert.equal(statusOf(lease.job.id), 'failed');
  } else {
    const [job] = queue.list('acme', { limit: 1 }).items;
    queue.command('acme', job.id, 'pause');
    assert.ok(blobs.has(blob.digest), 'it may go on');
    queue.command('acme', job.id, 'cancel');
  }
  assert.equal(await files.sweep(), 0, 'it went with the job');
  assert.equal(blobs.has(blob.digest), false);
}

test('bytes that are too many, or that nobody names, leave nothing', async () => {
  const large = [Buffer.alloc(6), Buffer.alloc(6)];
  await assert.rejects(
    files.stage(large, 10, () => assert.fail('it is too large')),
    { code: 'REQUEST_INVALID' },
  );
  const { digest: unnamed } = await files.stage([Buffer.from('x')], 10, (blob) => blob);
  assert.equal(blobs.has(unnamed), false);
  assert.equal(await files.sweep(), 0);
});

test('a job that starts anew forgets its steps, its checkpoints and its end, and says why; whoever has lost it forgets nothing', () => {
  const lease = running();
  assert.equal(leases.hasSteps(lease), false);
  const metrics = { step: 1, trainLoss: 2, trainAccuracy: 0.5, validLoss: null, validAccuracy: null };
  const event = { level: 'info', message: 'Step 1/2', metrics: { ...metrics, totalSteps: 2 } } as const;
  leases.tell(lease, [event], now + 5);
  leases.addCheckpoint(lease, metrics, 'acme/ft-checkpoints@1');
  assert.equal(leases.hasSteps(lease), true);
  assert.equal(leases.startAnew({ ...lease, token: 'lease_other' }, 'somebody says so'), undefined);
  assert.deepEqual(leases.startAnew(lease, 'its checkpoint is gone'), ['acme/ft-checkpoints@1']);
  assert.equal(leases.hasSteps(lease), false);
  assert.equal(queue.get('acme', lease.job.id).estimatedFinish, null);
  assert.deepEqual(queue.checkpoints('acme', lease.job.id, 10).items, []);
  const [last] = queue.events('acme', lease.job.id, { limit: 1 }).items;
  assert.deepEqual([last.level, last.message], ['warn', 'The job starts anew: its checkpoint is gone.']);
  assert.ok(!told(lease.job.id).includes('Step 1/2'));
  leases.tell(lease, [event], now + 9);
  assert.deepEqual(leases.stepMetrics(lease), [{ ...metrics, totalSteps: 2 }], 'the step is told again');
});
