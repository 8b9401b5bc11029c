import { join } from 'node:path';
import { fail } from '../../base/index.ts';
import { defaultLoraConfig } from '../../formats/index.ts';
import type { Job } from '../../jobs/index.ts';
import { DEFAULT_OPTIMIZER, type RunConfig, type TrainJob } from '../../training/index.ts';
import type { Base } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import type { Platform } from '../platform.ts';
import { parseTargets, TRAIN_DEFAULTS } from '../train.ts';

const { rank, alpha, targets, learningRate, schedule, warmup, weightDecay, checkpointEvery } = TRAIN_DEFAULTS;

export const RECIPE_METHOD = 'lora';
export const RECIPE_RANK = rank;
export const RECIPE_TARGETS = targets;

/** Where a job's runs leave their state; one folder for each job. */
export function jobFolder({ home }: AppConfig, jobId: string): string {
  return join(home, 'jobs', jobId);
}

/** The run that a job is. The same job gives the same run, whenever and however often it is begun. */
export function trainJobOf(
  config: AppConfig,
  files: Platform['files'],
  base: Base,
  { id, seed, resolved, training, validation }: Job,
  resume: boolean,
): TrainJob {
  if (!resolved) return fail('INTERNAL', `job ${id} is trained before its files have been checked`);
  const { batchTokens, numEpochs, learningRateMultiplier, evaluateEverySteps } = resolved;
  const run: RunConfig = {
    adapter: {
      ...defaultLoraConfig(),
      r: rank,
      lora_alpha: alpha,
      target_modules: parseTargets(targets),
    },
    maxSteps: null,
    epochs: numEpochs,
    batchTokens,
    microBatchTokens: Math.min(batchTokens, TRAIN_DEFAULTS.batchTokens),
    learningRate: learningRate * learningRateMultiplier,
    schedule,
    warmup,
    seed,
    optimizer: { ...DEFAULT_OPTIMIZER, weightDecay },
    evaluateEverySteps,
  };
  const folder = jobFolder(config, id);
  return {
    base: base.open,
    threads: config.threads,
    dataPath: files.path(training.digest),
    validPath: validation === null ? undefined : files.path(validation.digest),
    config: run,
    output: join(folder, 'adapter'),
    checkpointEverySteps: checkpointEvery,
    resume,
    keeping: { folder, snapshotEverySteps: evaluateEverySteps },
    baseModelName: base.repository,
  };
}
