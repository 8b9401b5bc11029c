import { newId, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import { checkpointNameOf, type CheckpointMetrics, type Job, type JobCheckpoint } from './job.ts';
import { newestOf, type Listed } from './newest.ts';

interface CheckpointRow {
  readonly seq: number;
  readonly id: string;
  readonly job: string;
  readonly step: number;
  readonly created_at: number;
  readonly model_name: string;
  readonly reference: string;
  readonly metrics: string;
}

/** Checkpoints of a job that can be asked; older ones go. OpenAI keeps three as well. */
const KEPT_CHECKPOINTS = 3;

/** Whether a job has this checkpoint, or had it: one that went is not made again. */
export function hasCheckpoint(database: Database, job: string, step: number): boolean {
  const sql = 'SELECT 1 FROM job_checkpoints WHERE job = ? AND step >= ?';
  return database.get(sql, job, step) !== undefined;
}

/** Whether any job has this version as a checkpoint. */
export function isCheckpoint(database: Database, reference: string): boolean {
  return database.get('SELECT 1 FROM job_checkpoints WHERE reference = ?', reference) !== undefined;
}

/** Inside a transaction. @returns the references of those that went and that no other job's checkpoint has */
export function addCheckpoint(
  database: Database,
  clock: Clock,
  job: Job,
  metrics: CheckpointMetrics,
  reference: string,
): string[] {
  if (hasCheckpoint(database, job.id, metrics.step)) return [];
  database.run(
    'INSERT INTO job_checkpoints (id, job, step, created_at, model_name, reference, metrics) VALUES (?, ?, ?, ?, ?, ?, ?)',
    newId('ftckpt_'),
    job.id,
    metrics.step,
    Math.floor(clock.epochMs()),
    checkpointNameOf(job.modelName, metrics.step),
    reference,
    JSON.stringify(metrics),
  );
  const old = database.all<{ reference: string }>(
    `DELETE FROM job_checkpoints WHERE job = ?1 AND step NOT IN
       (SELECT step FROM job_checkpoints WHERE job = ?1 ORDER BY step DESC LIMIT ?2) RETURNING reference`,
    job.id,
    KEPT_CHECKPOINTS,
  );
  return old.map(({ reference: gone }) => gone).filter((gone) => !isCheckpoint(database, gone));
}

/** Inside a transaction, all of a job. @returns as {@link addCheckpoint} */
export function removeCheckpoints(database: Database, job: string): string[] {
  const gone = database.all<{ reference: string }>(
    'DELETE FROM job_checkpoints WHERE job = ? RETURNING reference',
    job,
  );
  return gone.map(({ reference }) => reference).filter((reference) => !isCheckpoint(database, reference));
}

/** The latest first, behind `after`; an unknown `after` gives undefined. */
export function listCheckpoints(
  database: Database,
  job: string,
  limit: number,
  after: string | undefined,
): Listed<JobCheckpoint> | undefined {
  const table = ['job_checkpoints', 'step'] as const;
  return newestOf<CheckpointRow, JobCheckpoint>(database, table, job, { limit, after }, checkpointOf);
}

function checkpointOf(row: CheckpointRow): JobCheckpoint {
  return {
    id: row.id,
    job: row.job,
    createdAt: row.created_at,
    modelName: row.model_name,
    reference: row.reference,
    metrics: JSON.parse(row.metrics) as CheckpointMetrics,
  };
}
