import type { Digest } from '../base/index.ts';
import type { RequestedHyperparameters, ResolvedHyperparameters } from './hyperparameters.ts';
import { DEFAULT_PEFT, type Job, type JobError, type JobMethod, type JobPeft } from './job.ts';
import type { JobStatus } from './job-status.ts';

/** A row of the table `jobs`. */
export interface JobRow {
  readonly seq: number;
  readonly id: string;
  readonly tenant: string;
  readonly project: string | null;
  readonly status: JobStatus;
  readonly base_name: string;
  readonly base_digest: Digest;
  readonly suffix: string | null;
  readonly seed: number;
  readonly method: JobMethod;
  readonly requested: string;
  /** Null for jobs that are older than it. */
  readonly peft: string | null;
  readonly resolved: string | null;
  readonly training_file: string;
  readonly training_digest: Digest;
  readonly validation_file: string | null;
  readonly validation_digest: Digest | null;
  readonly metadata: string;
  readonly created_at: number;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  readonly estimated_finish: number | null;
  readonly trained_tokens: number | null;
  readonly model_name: string;
  readonly reference: string | null;
  readonly result_file: string | null;
  readonly error: string | null;
  readonly lease_token: string | null;
  readonly lease_host: string | null;
  readonly lease_pid: number | null;
  readonly lease_until: number | null;
}

/** The files that a job needs until it ends. */
export function digestsOf({ training, validation }: Job): Digest[] {
  return validation ? [training.digest, validation.digest] : [training.digest];
}

export function jobOf(row: JobRow): Job {
  return {
    id: row.id,
    tenant: row.tenant,
    project: row.project,
    status: row.status,
    base: { name: row.base_name, digest: row.base_digest },
    method: row.method,
    hyperparameters: JSON.parse(row.requested) as RequestedHyperparameters,
    peft: row.peft === null ? DEFAULT_PEFT : (JSON.parse(row.peft) as JobPeft),
    resolved: row.resolved === null ? null : (JSON.parse(row.resolved) as ResolvedHyperparameters),
    suffix: row.suffix,
    seed: row.seed,
    training: { id: row.training_file, digest: row.training_digest },
    validation:
      row.validation_file === null || row.validation_digest === null
        ? null
        : { id: row.validation_file, digest: row.validation_digest },
    metadata: JSON.parse(row.metadata) as Record<string, string>,
    createdAt: row.created_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    estimatedFinish: row.estimated_finish,
    trainedTokens: row.trained_tokens,
    modelName: row.model_name,
    reference: row.reference,
    resultFile: row.result_file,
    error: row.error === null ? null : (JSON.parse(row.error) as JobError),
  };
}
