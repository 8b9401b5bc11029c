import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { EspalierError } from '../../base/index.ts';
import { digestOfFile } from '../../formats/index.ts';
import { CHECKPOINT_FILE, type TrainJob, type TrainResult } from '../../training/index.ts';
import type { Base } from '../bases.ts';
import { runFiles } from './journal.ts';
import { parseRunConfig, readRunRecord, type RunRecord } from './run-record.ts';
import type { TrainOutcome } from './train.ts';

/**
 * What a job has come to, where an earlier process has brought this very job to its end: the same base, data and settings.
 * @returns undefined where there is no such result, or a checkpoint, which is of a later run
 */
export function recordedOutcome(base: Base, job: TrainJob): TrainOutcome | undefined {
  const files = runFiles(job.output);
  if (!existsSync(files.record) || existsSync(join(job.output, CHECKPOINT_FILE))) return undefined;
  const record = readIfPossible(files.record);
  if (!record || !isOf(record, base, job)) return undefined;
  const result = record.result as unknown as TrainResult;
  // The folder may have been moved since.
  const lastOutput = result.lastOutput === null ? null : join(job.output, relative(result.output, result.lastOutput));
  return {
    ...result,
    output: job.output,
    lastOutput,
    adapter: null,
    adapterDigest: result.digest,
    learningRate: job.config.learningRate,
    files,
  };
}

/** A record that this version cannot read is no result of this job. */
function readIfPossible(path: string): RunRecord | undefined {
  try {
    return readRunRecord(path);
  } catch (error) {
    if (error instanceof EspalierError) return undefined;
    throw error;
  }
}

function isOf({ base: { digest }, train, valid, config, result }: RunRecord, base: Base, job: TrainJob): boolean {
  const { dataPath, validPath } = job;
  const { format, computeDtype = 'f32' } = base.open;
  return (
    digest === base.digest &&
    result.baseFormat === format &&
    result.computeDtype === computeDtype &&
    isFile(dataPath, train.digest) &&
    (validPath === undefined ? valid === null : valid !== null && isFile(validPath, valid.digest)) &&
    isDeepStrictEqual(config, parseRunConfig(JSON.parse(JSON.stringify(job.config)), job.output))
  );
}

function isFile(path: string, digest: string): boolean {
  return existsSync(path) && digestOfFile(path) === digest;
}
