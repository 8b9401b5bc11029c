import { join, resolve } from 'node:path';
import { fail, systemClock } from '../../base/index.ts';
import { referenceOf, type JsonValue } from '../../registry/index.ts';
import type { WeightFormat } from '../../numeric/index.ts';
import { CHECKPOINT_FILE, type TrainJob, type TrainResult } from '../../training/index.ts';
import type { TrainingFit } from '../../planning/index.ts';
import { parseTarget } from '../adapters/adapters.ts';
import type { AppConfig } from '../config.ts';
import { resolveBase, type Base, type ModelProgress } from '../bases.ts';
import { publishProven } from '../adapters/publish.ts';
import { begunSettings } from './begun-settings.ts';
import { readMachine } from '../bench/machine.ts';
import { RunJournal, type RunFiles } from './journal.ts';
import { keptFiles } from './kept-files.ts';
import { objectiveConfig } from './objective-options.ts';
import { claimRunFolder } from './run-folder.ts';
import { baseFormat, fitOf, runConfig } from './run-settings.ts';
import { teacherOf, type FoundTeacher } from './teacher.ts';
import { FULL } from './train-methods.ts';
import type { TrainOptions } from './train-options.ts';
import { runTrainer, type TrainerEvents, type TrainerSignals } from './trainer-process.ts';

export interface TrainEvents extends Pick<TrainerEvents, 'onStarted' | 'onStep' | 'onSamples'> {
  onModelProgress?: ModelProgress | undefined;
  /** What was picked for the memory budget. */
  onFit?(fit: TrainingFit): void;
}

export interface TrainOutcome extends TrainResult {
  /** `TENANT/TASK@VERSION` when it was published. */
  readonly adapter: string | null;
  /** Of the PEFT folder's tensors, settings and base; `digest` is the registry's when it was published. */
  readonly adapterDigest: string;
  readonly learningRate: number;
  /** The run's record and curves. */
  readonly files: RunFiles;
}

/**
 * Trains an adapter in a process of its own and, if asked, publishes it after the same proof as any other.
 * @throws what the run throws, ADAPTER_INVALID QUOTA_EXCEEDED from publishing; its last checkpoint stays in the output folder
 */
export async function trainAdapter(
  config: AppConfig,
  options: TrainOptions,
  events: TrainEvents = {},
  signals: TrainerSignals = {},
): Promise<TrainOutcome> {
  const { target, format } = checkOptions(options);
  const base = await resolveBase(config, options.base, events.onModelProgress, format, 'training');
  const fit = fitAsked(config, options, base, format);
  if (fit) events.onFit?.(fit);
  const { tensorboard, method, restart } = options;
  const extras = { target, tensorboard, method, restart };
  const teacher = await teacherOf(config, options, base, events.onModelProgress);
  return runJob(config, trainJob(config, options, base, fit, teacher), base, extras, events, signals);
}

/** What is wrong with the options by themselves: found before anything is looked for. @throws USAGE_INVALID */
export function checkOptions(options: TrainOptions): {
  readonly target: JobExtras['target'];
  readonly format: WeightFormat;
} {
  const target = publishTarget(options.publish);
  if (target && options.method === FULL) {
    fail(
      'USAGE_INVALID',
      '--method full makes a whole model, which is no adapter to publish: leave --publish out, then use espalier models import',
      { param: '--publish' },
    );
  }
  objectiveConfig(options);
  return { target, format: baseFormat(options) };
}

/** The micro-batch that `--memory` leaves room for, if it is given. @throws USAGE_INVALID the run takes more in any case */
export function fitAsked(
  { home }: AppConfig,
  options: TrainOptions,
  base: Base,
  format: WeightFormat,
): TrainingFit | undefined {
  return options.memory === undefined ? undefined : fitOf(base, options, format, options.memory, readMachine(home));
}

/** What `--publish` names; found wrong before any compute. @throws USAGE_INVALID */
export function publishTarget(publish: string | undefined): JobExtras['target'] {
  return publish === undefined ? undefined : parseTarget(publish, '--publish');
}

/** What the training process is told about a run. */
export function trainJob(
  { threads }: AppConfig,
  options: TrainOptions,
  base: Base,
  fit?: TrainingFit,
  teacher?: FoundTeacher,
): TrainJob {
  const settings = runConfig(options, base, fit);
  const { objective } = settings;
  const config =
    teacher && objective?.name === 'distillation'
      ? { ...settings, objective: { ...objective, teacher: teacher.digest } }
      : settings;
  const output = resolve(options.output);
  const { resume = false } = options;
  return {
    base: base.open,
    threads,
    dataPath: resolve(options.data),
    validPath: options.valid === undefined ? undefined : resolve(options.valid),
    config: resume ? begunSettings(config, join(output, CHECKPOINT_FILE)) : config,
    ...(teacher && { teacher: { base: teacher.base, adapter: teacher.adapter } }),
    output,
    checkpointEverySteps: options.checkpointEvery,
    samples: options.samples ?? 0,
    resume,
    baseModelName: base.repository,
  };
}

/** What happens with a job's result. */
export interface JobExtras {
  readonly target: ReturnType<typeof parseTarget> | undefined;
  readonly tensorboard: string | undefined;
  readonly method: string;
  /** Drops what an unfinished run has left in the output folder. */
  readonly restart?: boolean | undefined;
  /** The version that the result is the successor of, on another base: then nothing answers by the result yet. */
  readonly retrainedFrom?: string | undefined;
}

/** Runs a job in a process of its own, keeps its journal, and publishes the result if asked. */
export async function runJob(
  config: AppConfig,
  job: TrainJob,
  base: Base,
  { target, tensorboard, restart, ...extras }: JobExtras,
  events: TrainEvents,
  signals: TrainerSignals = {},
): Promise<TrainOutcome> {
  using _claim = claimRunFolder(job.output, { resume: job.resume, restart });
  using journal = new RunJournal(base, job, { tensorboard, clock: systemClock });
  const result = await runTrainer(job, journalled(journal, events), signals);
  if (!result) return failStopped(job.output);
  const outcome = outcomeOf(job, journal, result);
  return target ? publishTrained(config, base, job, outcome, { target, ...extras }) : outcome;
}

/** Of a run that somebody has stopped. */
export function failStopped(output: string): never {
  return fail('CANCELLED', `the run has left a checkpoint in ${output} and stopped: --resume goes on from it`);
}

/** A result that is not published, or not yet. */
export function outcomeOf(job: TrainJob, journal: RunJournal, result: TrainResult): TrainOutcome {
  const files = journal.finished(result);
  return { ...result, adapter: null, adapterDigest: result.digest, learningRate: job.config.learningRate, files };
}

/** @throws ADAPTER_INVALID QUOTA_EXCEEDED */
export async function publishTrained(
  config: AppConfig,
  base: Base,
  job: TrainJob,
  outcome: TrainOutcome,
  {
    target,
    method,
    retrainedFrom,
  }: Pick<JobExtras, 'method' | 'retrainedFrom'> & { readonly target: ReturnType<typeof parseTarget> },
): Promise<TrainOutcome> {
  const { version } = await publishProven(config, base, outcome.output, target, {
    metrics: metricsOf(outcome),
    provenance: {
      dataDigest: outcome.dataDigest,
      textDigest: outcome.textDigest,
      steps: outcome.steps,
      ...(retrainedFrom !== undefined && { retrainedFrom }),
      config: JSON.parse(JSON.stringify({ ...job.config, method, baseFormat: outcome.baseFormat })) as JsonValue,
    },
    data: keptFiles(job, outcome),
    isStaged: retrainedFrom !== undefined,
  });
  return { ...outcome, digest: version.digest, adapter: referenceOf(version) };
}

/** The caller's events, with the journal told first. */
export function journalled(journal: RunJournal, events: TrainEvents): TrainEvents {
  return {
    onStarted(started) {
      journal.started(started);
      events.onStarted?.(started);
    },
    onStep(event) {
      journal.step(event.report);
      events.onStep?.(event);
    },
    onSamples(samples) {
      journal.sampled(samples);
      events.onSamples?.(samples);
    },
  };
}

/** The scores of a run as a version keeps them. */
export function metricsOf({ trainLoss, validLoss, validAccuracy }: TrainResult): Record<string, number> {
  const metrics: Record<string, number> = { trainLoss };
  if (validLoss !== null) metrics['validLoss'] = validLoss;
  if (validAccuracy !== null) metrics['validAccuracy'] = validAccuracy;
  return metrics;
}
