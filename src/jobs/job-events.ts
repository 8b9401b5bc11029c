import { newId, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import type { CheckpointMetrics, EventLevel, JobEvent, NewJobEvent } from './job.ts';
import { newestOf, type Listed, type Only } from './newest.ts';

interface EventRow {
  readonly seq: number;
  readonly id: string;
  readonly created_at: number;
  readonly level: EventLevel;
  readonly type: 'message' | 'metrics';
  readonly message: string;
  readonly data: string | null;
}

type StepMetrics = NonNullable<NewJobEvent['metrics']>;

/** Adds an event; of one step's metrics only the first. Inside a transaction. */
export function addEvent(database: Database, clock: Clock, job: string, event: NewJobEvent): void {
  const { metrics } = event;
  database.run(
    `INSERT INTO job_events (id, job, created_at, level, type, message, data, step) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (job, step) DO NOTHING`,
    newId('ftevent-'),
    job,
    Math.floor(clock.epochMs()),
    event.level,
    metrics ? 'metrics' : 'message',
    event.message,
    metrics ? JSON.stringify(metrics) : null,
    metrics?.step ?? null,
  );
}

/** A page of a job's events. */
export interface EventPage {
  readonly limit: number;
  /** The last event of the page before. */
  readonly after?: string | undefined;
  /** `thinned`: of the steps before the newest only as many as show the curve, see {@link thinned}; `all` unless told. */
  readonly metrics?: 'all' | 'thinned' | undefined;
}

/** The newest steps, which a thinned listing has all: whoever follows a job finds again what was the newest before. */
const RECENT_STEPS = 1_000;
/** Of the steps before them, so many at most, and so many of those that were evaluated. */
const EARLIER_STEPS = 2_000;

/**
 * The latest first, behind `after`; an unknown `after` gives undefined.
 * @param evaluateEvery steps between evaluations of the job; null before its files have been checked
 */
export function listEvents(
  database: Database,
  job: string,
  { limit, after, metrics = 'all' }: EventPage,
  evaluateEvery: number | null,
): Listed<JobEvent> | undefined {
  const only = metrics === 'thinned' ? thinned(lastStep(database, job), evaluateEvery ?? 1) : undefined;
  return newestOf<EventRow, JobEvent>(database, ['job_events', 'seq'], job, { limit, after }, eventOf, only);
}

/**
 * The newest steps, the first, and of those between an even choice, of trained and of evaluated ones: the choice depends on the newest step
 * alone, and nothing is removed, so that every event stays a place to go on behind.
 */
function thinned(last: number, evaluateEvery: number): Only {
  const recent = last - RECENT_STEPS;
  const evaluated = strideOver(recent / evaluateEvery) * evaluateEvery;
  return {
    sql: 'step IS NULL OR step > ? OR step = 1 OR step % ? = 0 OR step % ? = 0',
    values: [recent, strideOver(recent), evaluated],
  };
}

/** Steps between two that are chosen, so that of `count` at most {@link EARLIER_STEPS} are. */
function strideOver(count: number): number {
  return 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(1, count) / EARLIER_STEPS)));
}

function lastStep(database: Database, job: string): number {
  return (
    database.get<{ last: number | null }>('SELECT max(step) AS last FROM job_events WHERE job = ?', job)?.last ?? 0
  );
}

export function hasSteps(database: Database, job: string): boolean {
  return database.get('SELECT 1 FROM job_events WHERE job = ? AND step IS NOT NULL', job) !== undefined;
}

/** Forgets the figures of every step: they are told again. */
export function removeSteps(database: Database, job: string): void {
  database.run('DELETE FROM job_events WHERE job = ? AND step IS NOT NULL', job);
}

/** The figures of every step, in order. */
export function stepMetrics(database: Database, job: string): CheckpointMetrics[] {
  return database
    .all<{ data: string }>('SELECT data FROM job_events WHERE job = ? AND step IS NOT NULL ORDER BY step', job)
    .map(({ data }) => JSON.parse(data) as StepMetrics);
}

function eventOf({ id, created_at, level, message, data }: EventRow): JobEvent {
  return {
    id,
    createdAt: created_at,
    level,
    message,
    ...(data !== null && { metrics: JSON.parse(data) as StepMetrics }),
  };
}
