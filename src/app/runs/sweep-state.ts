import { existsSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { EspalierError, fail, writeFileAtomicSync } from '../../base/index.ts';
import { digestOfFile, readJsonFile } from '../../formats/index.ts';
import type { TrainJob } from '../../training/index.ts';
import type { Base } from '../bases.ts';
import { claimRunFolder, type UnfinishedMark } from './run-folder.ts';

/** In the output folder while the sweep has not come to its end. */
const MARK: UnfinishedMark = { file: 'sweep.json', what: 'a sweep' };

/** What must be the same when a sweep goes on. */
export type SweepIdentity = Readonly<Record<'base' | 'training data' | 'held-out data' | 'runs', unknown>>;

/** An output folder that is one sweep's. */
export interface SweepClaim extends Disposable {
  /** Nothing is left to go on with. */
  finish(): void;
}

/** @param jobs of each run's name what it would be; one that cannot be made is a row with its error, also when the sweep goes on */
export function sweepIdentity(
  { digest, open }: Base,
  { data, valid }: { readonly data: string; readonly valid?: string | undefined },
  jobs: readonly (readonly [string, () => TrainJob])[],
): SweepIdentity {
  const digestOf = (path: string): string | null => (existsSync(path) ? digestOfFile(resolve(path)) : null);
  return {
    base: { digest, format: open.format, computeDtype: open.computeDtype },
    'training data': digestOf(data),
    'held-out data': valid === undefined ? null : digestOf(valid),
    runs: Object.fromEntries(jobs.map(([name, job]) => [name, settingsOf(job)])),
  };
}

/**
 * Takes a folder for one sweep and marks it as unfinished, until {@link SweepClaim.finish}.
 * @throws USAGE_INVALID another process has the folder, or there is an unfinished sweep that would be lost; CHECKPOINT_INVALID there is none to
 *   go on with, or it was begun with another base, data or runs: the message says which
 */
export function claimSweep(
  output: string,
  identity: SweepIdentity,
  { resume = false, restart }: { readonly resume?: boolean | undefined; readonly restart?: boolean | undefined },
): SweepClaim {
  const mark = join(output, MARK.file);
  const claim = claimRunFolder(output, { resume, restart }, MARK);
  try {
    if (resume) requireSame(mark, output, identity);
    else writeFileAtomicSync(mark, [Buffer.from(`${JSON.stringify(identity, null, 2)}\n`)]);
  } catch (error) {
    claim[Symbol.dispose]();
    throw error;
  }
  return {
    finish: () => rmSync(mark, { force: true }),
    [Symbol.dispose]: () => claim[Symbol.dispose](),
  };
}

function settingsOf(job: () => TrainJob): unknown {
  try {
    return job().config;
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error;
    return error.code;
  }
}

function requireSame(mark: string, output: string, identity: SweepIdentity): void {
  if (!existsSync(mark)) {
    fail('CHECKPOINT_INVALID', `${output}: there is no unfinished sweep to resume: run without --resume`);
  }
  const begun = readJsonFile(mark) as Partial<SweepIdentity>;
  const now = JSON.parse(JSON.stringify(identity)) as SweepIdentity;
  for (const [what, value] of Object.entries(now)) {
    if (isDeepStrictEqual(begun[what as keyof SweepIdentity], value)) continue;
    const advice = 'resume with the same, or begin anew with --restart';
    fail('CHECKPOINT_INVALID', `${output}: the sweep was begun with other ${describe(what)}: ${advice}`, {
      param: what,
    });
  }
}

/** What an error calls it. */
function describe(what: string): string {
  return what === 'base' ? 'weights of the base' : what === 'runs' ? 'settings or other runs' : what;
}
