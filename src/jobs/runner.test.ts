/** The runner: who is trained with whom and when, what a job's trouble does to others, and what is given back at the end. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { newJob } from '../../test/support/new-job.ts';
import { openJobs, type OpenJobs } from '../../test/support/open-jobs.ts';
import { EspalierError, silentLog, systemClock, type Digest } from '../base/index.ts';
import { ALL_AUTO, resolveHyperparameters } from './hyperparameters.ts';
import type { JobLease, JobLeases } from './job-leases.ts';
import type { JobQueue } from './job-queue.ts';
import type { NewJob } from './job.ts';
import type { Place } from './places.ts';
import { JobRunner, type JobWork, type RunnerOptions } from './runner.ts';

const digest: Digest = `sha256:${'1'.repeat(64)}`;
const resolved = resolveHyperparameters(ALL_AUTO, 'supervised', { examples: 10, tokens: 100 });
const OPTIONS: RunnerOptions = {
  log: silentLog,
  pollMs: 5,
  heartbeatMs: 5,
  retryMs: [5, 5, 5, 5, 5],
  maxConcurrent: 1,
  maxTogether: 4,
};

let jobs: OpenJobs;
let queue: JobQueue;
let leases: JobLeases;

beforeEach(async () => {
  jobs = await openJobs(systemClock);
  ({ queue, leases } = jobs);
});
afterEach(() => jobs[Symbol.dispose]());

/** A queued job. The base's name is what jobs share a place by; `alone` shares with nobody. */
function create(tenant: string, base = 'tiny', more: Partial<NewJob> = {}): string {
  return queue.create(newJob(tenant, digest, { base: { name: base, digest }, ...more })).id;
}

const statusOf = (id: string): string => queue.get(null, id).status;

/** What never comes is a failure, not a test without an end. */
async function until(isTrue: () => boolean): Promise<void> {
  const giveUpMs = performance.now() + 30_000;
  while (!isTrue()) {
    assert.ok(performance.now() < giveUpMs, 'it comes within half a minute');
    await nextTurn();
  }
}

/** Lets the runner look some times more. */
async function aWhile(): Promise<void> {
  for (let n = 0; n < 50; n++) await nextTurn();
  await new Promise((resolve) => setTimeout(resolve, 30));
}

/** Trains until it is told to end a job; knows where each is. */
class Bench implements JobWork {
  readonly placeOf = new Map<string, Place>();
  readonly vacated: Place[] = [];
  readonly #ends = new Map<string, (error?: Error) => void>();

  async validate(lease: JobLease): Promise<void> {
    leases.validated(lease, resolved, 0);
  }

  shareKey({ base }: { base: { name: string } }): string | null {
    return base.name === 'alone' ? null : base.name;
  }

  async train({ job }: JobLease, signal: AbortSignal, place: Place): Promise<void> {
    this.placeOf.set(job.id, place);
    await new Promise<void>((resolve, reject) => {
      this.#ends.set(job.id, (error) => (error ? reject(error) : resolve()));
      signal.addEventListener('abort', () => resolve(), { once: true });
    }).finally(() => this.placeOf.delete(job.id));
  }

  vacate(place: Place): void {
    this.vacated.push(place);
  }

  /** The tenant gives the job up, or the job meets with an error. */
  end(id: string, error?: Error): void {
    if (error) this.#ends.get(id)?.(error);
    else queue.command(null, id, 'cancel');
  }

  isAt(id: string): boolean {
    return this.placeOf.has(id);
  }
}

test('jobs with one key share a place, fairly; no tenant has all of its seats', async () => {
  const work = new Bench();
  await using runner = new JobRunner(leases, work, OPTIONS);
  const mine = [create('acme'), create('acme'), create('acme'), create('acme')];
  runner.start();
  await until(() => mine.slice(0, 3).every((id) => work.isAt(id)));
  await aWhile();
  assert.equal(work.isAt(mine[3]), false, 'a seat is left for others');
  const theirs = [create('globex'), create('globex')];
  await until(() => work.isAt(theirs[0]));
  await aWhile();
  assert.equal(work.placeOf.size, 4);
  assert.equal(new Set(work.placeOf.values()).size, 1, 'one place');
  assert.equal(statusOf(theirs[1]), 'queued', 'files are checked while there is no room');
  work.end(mine[1]);
  await until(() => work.isAt(theirs[1]));
  assert.equal(work.isAt(mine[3]), false, 'the turn is that of the tenant who has fewer');
  assert.deepEqual(work.vacated, []);
});

test('nobody passes a job that has to wait for a place of its own', async () => {
  const work = new Bench();
  await using runner = new JobRunner(leases, work, OPTIONS);
  const first = create('acme');
  runner.start();
  await until(() => work.isAt(first));
  const place = work.placeOf.get(first);
  const alone = create('globex', 'alone');
  await until(() => statusOf(alone) === 'queued');
  const late = create('initech');
  await until(() => statusOf(late) === 'queued');
  await aWhile();
  assert.deepEqual([work.isAt(alone), work.isAt(late)], [false, false], 'it could have come in');
  work.end(first);
  await until(() => work.isAt(alone));
  await aWhile();
  assert.deepEqual([work.isAt(late), work.vacated], [false, [place]], 'its place is its own');
  work.end(alone);
  await until(() => work.isAt(late));
});

test('jobs of two keys have two places; with one seat each, every job has its own', async () => {
  const work = new Bench();
  const ids = [create('acme', 'a'), create('globex', 'b'), create('initech', 'a'), create('umbrella', 'b')];
  {
    await using runner = new JobRunner(leases, work, { ...OPTIONS, maxConcurrent: 2 });
    runner.start();
    await until(() => ids.every((id) => work.isAt(id)));
    assert.equal(work.placeOf.get(ids[0]), work.placeOf.get(ids[2]));
    assert.equal(work.placeOf.get(ids[1]), work.placeOf.get(ids[3]));
    assert.notEqual(work.placeOf.get(ids[0]), work.placeOf.get(ids[1]));
  }
  const single = new Bench();
  await using runner = new JobRunner(leases, single, { ...OPTIONS, maxConcurrent: 2, maxTogether: 1 });
  runner.start();
  await until(() => single.placeOf.size === 2);
  await aWhile();
  assert.deepEqual(
    [...single.placeOf.values()].map(({ key, jobs }) => [key, jobs.length]),
    [
      [null, 1],
      [null, 1],
    ],
  );
});

test('a job whose process died is tried again alone, and the others go on', async () => {
  const work = new Bench();
  await using runner = new JobRunner(leases, work, OPTIONS);
  const [poison, other] = [create('acme'), create('globex')];
  runner.start();
  await until(() => work.isAt(poison) && work.isAt(other));
  work.end(poison, new EspalierError('TRAINER_DIED', 'ended by SIGKILL'));
  await until(() => statusOf(poison) === 'queued');
  await aWhile();
  assert.equal(work.isAt(poison), false, 'not where others are');
  work.end(other);
  await until(() => work.isAt(poison));
  assert.equal(work.placeOf.get(poison)?.key, null);
});

test('a job that met with trouble waits before it is tried again', async () => {
  const work = new Bench();
  await using runner = new JobRunner(leases, work, { ...OPTIONS, retryMs: [200] });
  const id = create('acme');
  runner.start();
  await until(() => work.isAt(id));
  const failedAt = performance.now();
  work.end(id, new EspalierError('STORAGE_BUSY', 'the disk is slow'));
  await until(() => !work.isAt(id));
  await until(() => work.isAt(id));
  assert.ok(performance.now() - failedAt >= 199);
  work.end(id, new EspalierError('STORAGE_BUSY', 'the disk is slow'));
  await until(() => statusOf(id) === 'failed');
});

test('others do not wait with a job that met with trouble', async () => {
  const work = new Bench();
  await using runner = new JobRunner(leases, work, { ...OPTIONS, retryMs: [600_000] });
  const [first, ...others] = [create('acme', 'alone'), create('globex', 'alone'), create('acme', 'alone')];
  runner.start();
  await until(() => work.isAt(first));
  work.end(first, new EspalierError('STORAGE_BUSY', 'the disk is slow'));
  for (const id of others) {
    await until(() => work.isAt(id));
    work.end(id);
    await until(() => !work.isAt(id));
  }
  await aWhile();
  assert.ok(!work.isAt(first), 'it is not its time');
});

test('a failure that cannot be written down ends nobody, and is written at the next try', async () => {
  const work = new Bench();
  let numFailures = 0;
  const failed = leases.failed.bind(leases);
  leases.failed = (lease, error) => {
    if (++numFailures > 1) return failed(lease, error);
    throw new EspalierError('STORAGE_BUSY', 'the database is locked');
  };
  await using runner = new JobRunner(leases, work, OPTIONS);
  const id = create('acme');
  runner.start();
  for (let n = 1; n <= 2; n++) {
    await until(() => work.isAt(id));
    work.end(id, new Error('broken'));
    await until(() => !work.isAt(id));
  }
  await until(() => statusOf(id) === 'failed');
  assert.equal(numFailures, 2);
});

test('a tenant that may have no more is told so', async () => {
  const work = new Bench();
  await using runner = new JobRunner(leases, work, OPTIONS);
  const id = create('acme');
  runner.start();
  await until(() => work.isAt(id));
  work.end(id, new EspalierError('QUOTA_EXCEEDED', 'acme has 3 adapter versions and may have 3'));
  await until(() => statusOf(id) === 'failed');
  const message = 'acme has 3 adapter versions and may have 3';
  assert.deepEqual(queue.get(null, id).error, { code: 'quota_exceeded', message, param: null });
});

test('a runner works on as many jobs as it may, and gives back what it cannot finish', async () => {
  const ids = [create('acme', 'alone'), create('globex', 'alone'), create('initech', 'alone')];
  const work = new Bench();
  {
    await using runner = new JobRunner(leases, work, { ...OPTIONS, maxConcurrent: 2 });
    runner.start();
    await until(() => work.placeOf.size === 2 && ids.every((id) => statusOf(id) !== 'validating_files'));
    await aWhile();
    assert.equal(work.placeOf.size, 2);
  }
  assert.equal(work.placeOf.size, 0);
  assert.equal(work.vacated.length, 2);
  assert.equal(ids.filter((id) => statusOf(id) === 'running').length, 0, 'another may go on');
  for (const _ of ids) assert.ok(leases.take('train'), 'they are free');
});

test('a job that meets with an error fails without telling our own trouble; one that another can cure is tried again', async () => {
  const id = create('acme');
  let numTries = 0;
  const work: JobWork = {
    async validate() {
      if (++numTries < 3) throw new EspalierError('TRAINER_DIED', 'ended by SIGKILL');
      throw new Error('/secret/path is broken');
    },
    shareKey: () => null,
    train: () => assert.fail('it is not valid'),
    vacate: () => assert.fail('there was no place'),
  };
  await using runner = new JobRunner(leases, work, OPTIONS);
  runner.start();
  await until(() => statusOf(id) === 'failed');
  assert.equal(numTries, 3);
  assert.deepEqual(queue.get(null, id).error, {
    code: 'internal_error',
    message: 'the server failed to run the job; its log tells why',
    param: null,
  });
});
