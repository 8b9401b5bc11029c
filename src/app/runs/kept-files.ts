import { existsSync } from 'node:fs';
import { digestOfFile } from '../../formats/index.ts';
import type { TrainingData } from '../../registry/index.ts';
import type { TrainJob, TrainResult } from '../../training/index.ts';

/** The files of a run, to be kept with its result; one that is no longer what the run read is not. */
export function keptFiles({ dataPath, validPath }: TrainJob, { dataDigest, validDigest }: TrainResult): TrainingData[] {
  const files = [
    { role: 'train', path: dataPath, digest: dataDigest },
    { role: 'valid', path: validPath, digest: validDigest },
  ] as const;
  return files.flatMap(({ role, path, digest }) =>
    path !== undefined && existsSync(path) && digestOfFile(path) === digest ? [{ role, path }] : [],
  );
}
