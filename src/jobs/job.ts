import type { Digest } from '../base/index.ts';
import type { RequestedHyperparameters, ResolvedHyperparameters } from './hyperparameters.ts';
import type { JobStatus } from './job-status.ts';

/** What a job's adapter learns: answers, which of two answers is better, or which label a text has. */
export type JobMethod = 'supervised' | 'dpo' | 'classification';

export interface JobError {
  readonly code: string;
  readonly message: string;
  /** The field of the request that is to blame. */
  readonly param: string | null;
}

/** How a job's adapter is made. */
export interface JobPeft {
  readonly method: string;
  /** Null: the method has none. */
  readonly rank: number | null;
  /** A group of layers, or names with commas between; null: the method adapts no layers. */
  readonly targets: string | null;
  /** Null: the recipe's. */
  readonly learningRate: number | null;
}

/** Of jobs that do not say. */
export const DEFAULT_PEFT: JobPeft = { method: 'lora', rank: 8, targets: 'attention', learningRate: null };

/** A file as a job uses it: the digest stays when the file is deleted. */
export interface JobFile {
  readonly id: string;
  readonly digest: Digest;
}

/** What a tenant asks for, checked. */
export interface NewJob {
  readonly tenant: string;
  /** To which its usage is counted; null: none. */
  readonly project?: string | null;
  readonly base: { readonly name: string; readonly digest: Digest };
  readonly method: JobMethod;
  readonly hyperparameters: RequestedHyperparameters;
  /** {@link DEFAULT_PEFT} unless told. */
  readonly peft?: JobPeft;
  /** The task under which the result is published; null: {@link DEFAULT_TASK}. */
  readonly suffix: string | null;
  readonly seed: number;
  readonly training: JobFile;
  readonly validation: JobFile | null;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The task of results of jobs without a suffix. */
export const DEFAULT_TASK = 'fine-tuned';

export interface Job extends NewJob {
  /** `ftjob-…`. */
  readonly id: string;
  readonly status: JobStatus;
  readonly peft: JobPeft;
  /** Null until the files have been checked. */
  readonly resolved: ResolvedHyperparameters | null;
  /** Milliseconds since 1970, as are the other times. */
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly estimatedFinish: number | null;
  readonly trainedTokens: number | null;
  /** The name of the model that the job makes: `ft:BASE:TENANT:SUFFIX:ID`. */
  readonly modelName: string;
  /** The registry's `TENANT/TASK@VERSION` of the result. */
  readonly reference: string | null;
  readonly resultFile: string | null;
  readonly error: JobError | null;
}

/** `ft:BASE:TENANT:SUFFIX:ID`, OpenAI's name of a fine-tuned model; the id is a part of the job's. */
export function modelNameOf(base: string, tenant: string, suffix: string | null, jobId: string): string {
  return `ft:${base}:${tenant}:${suffix ?? ''}:${jobId.replace(/^ftjob-/, '').slice(0, 12)}`;
}

export function checkpointNameOf(modelName: string, step: number): string {
  return `${modelName}:ckpt-step-${step}`;
}

/** The state of a fine-tuned model's training at one step. Null: nothing was measured. */
export interface CheckpointMetrics {
  readonly step: number;
  readonly trainLoss: number;
  readonly trainAccuracy: number;
  readonly validLoss: number | null;
  readonly validAccuracy: number | null;
}

export interface JobCheckpoint {
  /** `ftckpt_…`. */
  readonly id: string;
  readonly job: string;
  readonly createdAt: number;
  readonly modelName: string;
  readonly reference: string;
  readonly metrics: CheckpointMetrics;
}

export type EventLevel = 'info' | 'warn' | 'error';

/** Something to tell of a job; metrics have the figures of one step. */
export interface NewJobEvent {
  readonly level: EventLevel;
  readonly message: string;
  readonly metrics?: CheckpointMetrics & { readonly totalSteps: number };
}

export interface JobEvent extends NewJobEvent {
  /** `ftevent-…`. */
  readonly id: string;
  readonly createdAt: number;
}
