import { resolve } from 'node:path';
import { fail } from '../../base/index.ts';
import type { TrainJob } from '../../training/index.ts';
import { parseTarget } from '../adapters/adapters.ts';
import { resolveBase } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { readRunRecord, requireSameFile } from './run-record.ts';
import { runJob, type TrainEvents, type TrainOutcome } from './train.ts';
import { TRAIN_DEFAULTS, type TrainOptions } from './train-options.ts';
import type { TrainerSignals } from './trainer-process.ts';
import { VERSION } from '../version.ts';

/** What of a record's run may be said anew: where things are, and where the result goes. */
export type RepeatOptions = Pick<
  TrainOptions,
  'output' | 'publish' | 'tensorboard' | 'resume' | 'restart' | 'samples'
> &
  Partial<Pick<TrainOptions, 'base' | 'data' | 'valid' | 'checkpointEvery'>> & { readonly fromRun: string };

/** A repeated run, and whether it ended in the bytes of the first. */
export interface RepeatedOutcome extends TrainOutcome {
  readonly isSame: boolean;
  /** What is other than in the first run, and may be why it is not the same. */
  readonly differences: readonly string[];
}

/**
 * Runs a recorded run again: same base, data, tokenizer, settings and seed give the same bytes on the same instruction set.
 * @throws FILE_NOT_FOUND CONFIG_INVALID DATA_INVALID DIGEST_MISMATCH what was used is not there or has changed
 */
export async function repeatRun(
  config: AppConfig,
  options: RepeatOptions,
  events: TrainEvents = {},
  signals: TrainerSignals = {},
): Promise<RepeatedOutcome> {
  const target = options.publish === undefined ? undefined : parseTarget(options.publish, '--publish');
  const record = readRunRecord(options.fromRun);
  const { baseFormat, computeDtype } = record.result;
  const base = await resolveBase(
    { ...config, compute: computeDtype },
    options.base ?? record.base.name,
    events.onModelProgress,
    baseFormat,
    'training',
  );
  if (base.digest !== record.base.digest) {
    fail('DIGEST_MISMATCH', `${base.name} is ${base.digest}, the run was on ${record.base.digest}: give that base`, {
      param: '--base',
    });
  }
  if (record.config.objective?.name === 'distillation') {
    fail(
      'CONFIG_INVALID',
      `${options.fromRun}: learned from a teacher, which the record does not hold: give its options again`,
    );
  }
  const dataPath = resolve(options.data ?? record.train.path);
  requireSameFile(dataPath, record.train.digest, 'training data', '--data');
  const validPath = record.valid === null ? undefined : resolve(options.valid ?? record.valid.path);
  if (validPath !== undefined && record.valid)
    requireSameFile(validPath, record.valid.digest, 'held-out data', '--valid');
  const job: TrainJob = {
    base: base.open,
    threads: config.threads,
    dataPath,
    validPath,
    config: record.config,
    output: resolve(options.output),
    checkpointEverySteps: options.checkpointEvery ?? TRAIN_DEFAULTS.checkpointEvery,
    samples: options.samples ?? 0,
    resume: options.resume ?? false,
    baseModelName: base.repository,
  };
  const outcome = await runJob(
    config,
    job,
    base,
    {
      target,
      tensorboard: options.tensorboard,
      restart: options.restart,
      method: record.config.adapter.peft_type.toLowerCase(),
    },
    events,
    signals,
  );
  const now = { espalier: VERSION, instructionSet: outcome.instructionSet, text: outcome.textDigest };
  const differences = (['espalier', 'instructionSet', 'text'] as const).flatMap((what) =>
    record[what] === now[what] ? [] : [`${what} was ${record[what]}, is ${now[what]}`],
  );
  return { ...outcome, isSame: outcome.adapterDigest === record.result.digest, differences };
}
