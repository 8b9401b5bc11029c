import { join } from 'node:path';
import { fail } from '../../base/index.ts';
import type { Job } from '../../jobs/index.ts';
import {
  defaultLearningRate,
  DEFAULT_MICRO_BATCH_TOKENS,
  DEFAULT_OPTIMIZER,
  type RunConfig,
  type TrainJob,
} from '../../training/index.ts';
import { describeBase, type Base } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import type { Platform } from '../platform.ts';
import { objectiveConfig } from '../runs/objective-options.ts';
import { TRAIN_DEFAULTS } from '../runs/train.ts';
import { methodConfig } from '../runs/train-methods.ts';

const { schedule, warmup, weightDecay, checkpointEvery } = TRAIN_DEFAULTS;

export const RECIPE_METHOD = 'lora';
export const RECIPE_RANK = 8;
export const RECIPE_TARGETS = 'attention';
const RECIPE_ALPHA = 16;

/** Where a job's runs leave their state; one folder for each job. */
export function jobFolder({ home }: AppConfig, jobId: string): string {
  return join(home, 'jobs', jobId);
}

/** The run that a job is. The same job gives the same run, whenever and however often it is begun. */
export function trainJobOf(
  config: AppConfig,
  files: Platform['files'],
  base: Base,
  { id, seed, method, resolved, training, validation }: Job,
  resume: boolean,
): TrainJob {
  if (!resolved) return fail('INTERNAL', `job ${id} is trained before its files have been checked`);
  const { batchTokens, numEpochs, learningRateMultiplier, evaluateEverySteps } = resolved;
  const [rank, alpha] = [RECIPE_RANK, RECIPE_ALPHA];
  const objective =
    method === 'dpo' ? objectiveConfig({ objective: 'dpo', beta: resolved.beta ?? undefined }) : undefined;
  const learningRate = defaultLearningRate({
    objective: objective?.name ?? 'sft',
    hiddenSize: describeBase(base).config.hiddenSize,
    rank,
    alpha,
    rslora: false,
    batchTokens,
  });
  const run: RunConfig = {
    adapter: methodConfig(RECIPE_METHOD, { rank, alpha, targets: RECIPE_TARGETS }),
    ...(objective && { objective }),
    maxSteps: null,
    epochs: numEpochs,
    batchTokens,
    microBatchTokens: Math.min(batchTokens, DEFAULT_MICRO_BATCH_TOKENS),
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
    samples: 0,
    resume,
    keeping: { folder, snapshotEverySteps: evaluateEverySteps },
    baseModelName: base.repository,
  };
}
