/** What a training process tells while the database is busy, or while its job is being stopped, is not lost. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { newJob } from '../../../test/support/new-job.ts';
import { beginTraining, openJobs, type OpenJobs } from '../../../test/support/open-jobs.ts';
import { EspalierError, silentLog, systemClock, type Digest } from '../../base/index.ts';
import { ALL_AUTO, resolveHyperparameters } from '../../jobs/hyperparameters.ts';
import type { JobLease, JobLeases, JobQueue } from '../../jobs/index.ts';
import { snapshotFolder, type TrainStarted } from '../../training/index.ts';
import { JobReporter } from './job-reporter.ts';

const digest: Digest = `sha256:${'1'.repeat(64)}`;
const STARTED = { totalSteps: 8, startStep: 0, trainableParameters: 1, history: [] } as unknown as TrainStarted;
const stepAt = (step: number) =>
  ({ report: { step, loss: 1, accuracy: 0 }, secondsLeft: 1 }) as Parameters<JobReporter['onStep']>[0];

let jobs: OpenJobs;
let home: string;
let queue: JobQueue;
let leases: JobLeases;
let lease: JobLease;

beforeEach(async () => {
  jobs = await openJobs(systemClock);
  ({ home, queue, leases } = jobs);
  const resolved = resolveHyperparameters(ALL_AUTO, 'supervised', { examples: 8, tokens: 80 });
  lease = beginTraining(jobs, newJob('acme', digest), resolved);
});
afterEach(() => {
  mock.timers.reset();
  jobs[Symbol.dispose]();
});

const messages = (): string[] => queue.events(null, lease.job.id, { limit: 100 }).items.map(({ message }) => message);

test('events that cannot be written are written with the next ones', async () => {
  mock.timers.enable({ apis: ['setInterval'] });
  const tell = leases.tell.bind(leases);
  let isBusy = true;
  leases.tell = (...args) => {
    if (isBusy) throw new EspalierError('STORAGE_BUSY', 'the database is locked');
    return tell(...args);
  };
  const reporter = new JobReporter(leases, lease, home, async () => true, silentLog);
  reporter.onStarted(STARTED);
  reporter.onStep(stepAt(1));
  mock.timers.tick(600);
  reporter.onStep(stepAt(2));
  mock.timers.tick(600);
  assert.ok(!messages().some((message) => message.startsWith('Step')));
  isBusy = false;
  mock.timers.tick(600);
  await reporter.finish();
  const told = messages().filter((message) => message.startsWith('Step'));
  assert.deepEqual(told.toSorted(), ['Step 1/8: training loss=1.0000', 'Step 2/8: training loss=1.0000']);
});

test('a snapshot that was not published stays for the job’s next turn', async () => {
  const folders = [2, 4].map((step) => snapshotFolder(home, step));
  for (const folder of folders) mkdirSync(folder, { recursive: true });
  const isPublished = async ({ step }: { step: number }): Promise<boolean> => step === 2;
  const reporter = new JobReporter(leases, lease, home, isPublished, silentLog);
  reporter.onStarted(STARTED);
  for (const [n, step] of [2, 4].entries()) {
    reporter.onStep(stepAt(step));
    reporter.onSnapshot({ type: 'snapshot', step, folder: folders[n] });
  }
  await reporter.finish();
  assert.deepEqual(folders.map(existsSync), [false, true]);

  const published: number[] = [];
  const next = new JobReporter(
    leases,
    lease,
    home,
    async ({ step }) => {
      published.push(step);
      return true;
    },
    silentLog,
  );
  const history = [2, 4].map((step) => stepAt(step).report);
  next.onStarted({ ...STARTED, startStep: 4, history });
  await next.finish();
  assert.deepEqual(published, [4]);
});
