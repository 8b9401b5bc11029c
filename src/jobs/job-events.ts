import { newId, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import type { CheckpointMetrics, EventLevel, JobEvent, NewJobEvent } from './job.ts';
import { newestOf, type Listed } from './newest.ts';

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

/** The latest first, behind `after`; an unknown `after` gives undefined. */
export function listEvents(
  database: Database,
  job: string,
  limit: number,
  after: string | undefined,
): Listed<JobEvent> | undefined {
  return newestOf<EventRow, JobEvent>(database, ['job_events', 'seq'], job, { limit, after }, eventOf);
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
