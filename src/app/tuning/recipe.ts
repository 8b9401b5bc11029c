import { join } from 'node:path';
import { fail } from '../../base/index.ts';
import type { Job } from '../../jobs/index.ts';
import type { TrainJob } from '../../training/index.ts';
import type { Base } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { TRAIN_DEFAULTS, type TrainOptions } from '../runs/train-options.ts';
import { trainJob } from '../runs/train.ts';
import { peftOptions } from './peft.ts';

/** Where a job's runs leave their state; one folder for each job. @param work the platform's folder for what is in work */
export function jobFolder(work: string, jobId: string): string {
  return join(work, 'jobs', jobId);
}

/** The run that a job is. The same job gives the same run, whenever and however often it is begun. */
export function trainJobOf(
  config: AppConfig,
  folder: string,
  data: { readonly training: string; readonly validation: string | null },
  base: Base,
  { id, seed, method, peft, resolved }: Job,
  resume: boolean,
): TrainJob {
  if (!resolved) return fail('INTERNAL', `job ${id} is trained before its files have been checked`);
  const { batchTokens, numEpochs, learningRateMultiplier, evaluateEverySteps } = resolved;
  const options: TrainOptions = {
    ...TRAIN_DEFAULTS,
    base: base.name,
    data: data.training,
    valid: data.validation ?? undefined,
    // What the tenant gives for training is trained on.
    validShare: 0,
    ...peftOptions(peft),
    ...(peft.learningRate !== null && { learningRate: peft.learningRate }),
    ...(method === 'dpo' && { objective: 'dpo', beta: resolved.beta ?? undefined }),
    ...(method === 'classification' && { objective: 'classification' }),
    epochs: numEpochs,
    batchTokens,
    seed,
    evaluateEvery: evaluateEverySteps,
    samples: 0,
    output: join(folder, 'adapter'),
    resume,
  };
  const job = trainJob(config, options, base);
  return {
    ...job,
    config: { ...job.config, learningRate: job.config.learningRate * learningRateMultiplier },
    keeping: { folder, snapshotEverySteps: evaluateEverySteps },
  };
}
