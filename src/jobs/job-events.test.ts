/** The listing of a long job: thinned, it shows the whole curve in a bounded number of events, and every event stays a place to go on behind. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { eventsAfter } from '../../console/src/pages/events-after.ts';
import { newJob } from '../../test/support/new-job.ts';
import { beginTraining, openJobs, type OpenJobs } from '../../test/support/open-jobs.ts';
import type { Clock, Digest } from '../base/index.ts';
import { ALL_AUTO, resolveHyperparameters } from './hyperparameters.ts';
import type { EventPage } from './job-events.ts';
import type { JobLease, JobLeases } from './job-leases.ts';
import type { JobQueue } from './job-queue.ts';
import type { JobEvent, NewJobEvent } from './job.ts';

const clock: Clock = { nowMs: () => 1_000_000, epochMs: () => 1_000_000 };
const digest: Digest = `sha256:${'1'.repeat(64)}`;
/** Many steps: it is evaluated after every 25. */
const resolved = resolveHyperparameters(ALL_AUTO, 'supervised', { examples: 400_000, tokens: 4_000_000 });
const STEPS = 30_000;

let jobs: OpenJobs;
let queue: JobQueue;
let leases: JobLeases;
let lease: JobLease;

beforeEach(async () => {
  jobs = await openJobs(clock);
  ({ queue, leases } = jobs);
  lease = beginTraining(jobs, newJob('acme', digest), resolved);
});
afterEach(() => jobs[Symbol.dispose]());

/** Tells steps, with a message in words after each thousandth. */
function train(from: number, to: number): void {
  const told: NewJobEvent[] = [];
  for (let step = from; step <= to; step++) {
    const validLoss = step % resolved.evaluateEverySteps === 0 ? 3 / step : null;
    const figures = { trainLoss: 2 / step, trainAccuracy: 0.5, validLoss, validAccuracy: null, totalSteps: STEPS };
    told.push({ level: 'info', message: `Step ${step}`, metrics: { step, ...figures } });
    if (step % 1000 === 0) told.push({ level: 'info', message: `Thousand ${step / 1000}` });
  }
  assert.equal(leases.tell(lease, told, null), true);
}

/** Every page in turn. */
function listed(page: Omit<EventPage, 'after'>, onPage = (): void => undefined): JobEvent[] {
  const found: JobEvent[] = [];
  for (;;) {
    const { items, hasMore } = queue.events('acme', lease.job.id, { ...page, after: found.at(-1)?.id });
    found.push(...items);
    if (!hasMore) return found;
    onPage();
  }
}

const stepsOf = (events: readonly JobEvent[]): number[] => events.flatMap(({ metrics }) => metrics?.step ?? []);

test('a thinned listing has the first step, an even choice of the old ones, all of the newest, and everything in words', () => {
  train(1, STEPS);
  const all = listed({ limit: 1_000 });
  assert.equal(stepsOf(all).length, STEPS, 'nothing is removed');
  const thinned = listed({ limit: 500, metrics: 'thinned' });
  assert.deepEqual(
    thinned.map(({ id }) => id),
    all.map(({ id }) => id).filter((id) => thinned.some((event) => event.id === id)),
    'in the same order, and each once',
  );
  const words = (events: readonly JobEvent[]): string[] =>
    events.filter(({ metrics }) => !metrics).map(({ message }) => message);
  assert.deepEqual(words(thinned), words(all));
  const steps = stepsOf(thinned).toReversed();
  assert.ok(steps.length <= 5_001, `${steps.length} steps`);
  assert.equal(steps[0], 1);
  assert.deepEqual(
    steps.slice(-1_000),
    Array.from({ length: 1_000 }, (_, n) => STEPS - 999 + n),
  );
  const gaps = steps.slice(1).map((step, n) => step - steps[n]);
  assert.ok(Math.max(...gaps) <= 16, `a gap of ${Math.max(...gaps)} steps`);
  const evaluated = thinned.flatMap(({ metrics }) => (metrics && metrics.validLoss !== null ? metrics.step : []));
  assert.equal(evaluated.length, STEPS / 25, 'so few are all there');
});

test('a page goes on behind any event, also one that a thinned listing has no more', () => {
  train(1, 4_000);
  let isFirst = true;
  const steps = stepsOf(
    listed({ limit: 700, metrics: 'thinned' }, () => {
      if (isFirst) train(4_001, 20_000);
      isFirst = false;
    }),
  );
  assert.deepEqual(
    steps,
    [...new Set(steps)].toSorted((a, b) => b - a),
  );
  assert.equal(steps.at(-1), 1);
  const gone = listed({ limit: 1_000 }).find(({ metrics }) => metrics?.step === 3_333);
  assert.ok(gone);
  const page = queue.events('acme', lease.job.id, { limit: 1, metrics: 'thinned', after: gone.id });
  assert.deepEqual(stepsOf(page.items), [3_328]);
  assert.throws(() => queue.events('acme', lease.job.id, { limit: 1, metrics: 'thinned', after: 'ftevent-none' }), {
    code: 'REQUEST_INVALID',
  });
});

test('a console that is opened late, or has followed the job, has its curve from the first step', async () => {
  let numPages = 0;
  const look = (before: Parameters<typeof eventsAfter>[0]): ReturnType<typeof eventsAfter> =>
    eventsAfter(before, (query) => {
      numPages++;
      const { items, hasMore } = queue.events('acme', lease.job.id, query);
      const data = items.map(({ id, message }) => ({ id, message }));
      return Promise.resolve({ object: 'list', data, has_more: hasMore } as unknown as Awaited<
        ReturnType<Parameters<typeof eventsAfter>[1]>
      >);
    });
  const named = (events: Awaited<ReturnType<typeof look>>, message: string): number =>
    events.findIndex((event) => event.message === message);
  train(1, STEPS - 20);
  const opened = await look([]);
  assert.ok(opened.length < 6_000, `${opened.length} events`);
  assert.ok(named(opened, 'Step 1') >= 0 && named(opened, `Step ${STEPS - 20}`) > 0);
  numPages = 0;
  train(STEPS - 19, STEPS);
  const followed = await look(opened);
  assert.equal(numPages, 1, 'what is new is asked alone');
  assert.deepEqual(followed.slice(0, opened.length), opened);
  assert.equal(named(followed, `Step ${STEPS}`), followed.length - 2, 'before what is said of a thousand steps');
});
