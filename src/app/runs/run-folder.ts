import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fail } from '../../base/index.ts';
import { isProcessAlive } from '../../storage/index.ts';
import { CHECKPOINT_FILE, RUN_FOLDER } from '../../training/index.ts';

const LOCK = 'lock';

/** What a run does with what an unfinished one has left: it goes on from it, or drops it. */
interface Intent {
  readonly resume: boolean;
  readonly restart?: boolean | undefined;
}

/** A file in the output folder that is there until its run has come to its end, and what it is called. */
export interface UnfinishedMark {
  readonly file: string;
  readonly what: string;
}

const RUN_MARK: UnfinishedMark = { file: CHECKPOINT_FILE, what: 'the checkpoint of a run' };

/**
 * Takes a folder for one run: two would write each other's checkpoints, and a run that begins anew would replace what an unfinished one
 * has reached. It is given back when the claim is disposed of; what a killed process held is free.
 * @param mark tells of what would be lost: a run's is its checkpoint
 * @throws USAGE_INVALID another process has the folder, or the mark is there and nobody has said what to do with it
 */
export function claimRunFolder(output: string, { resume, restart = false }: Intent, mark = RUN_MARK): Disposable {
  const folder = join(output, RUN_FOLDER);
  const lock = join(folder, LOCK);
  const made = [folder, output].filter((path) => !existsSync(path));
  mkdirSync(folder, { recursive: true });
  takeLock(lock, output);
  const claim = {
    [Symbol.dispose]() {
      rmSync(lock, { force: true });
      // A run that found its data wrong leaves nothing.
      for (const path of made) if (existsSync(path) && readdirSync(path).length === 0) rmdirSync(path);
    },
  };
  const marked = join(output, mark.file);
  if (restart) rmSync(marked, { force: true });
  if (resume || !existsSync(marked)) return claim;
  claim[Symbol.dispose]();
  return fail(
    'USAGE_INVALID',
    `${output} has ${mark.what} that did not come to its end: --resume goes on from it, --restart drops it and begins anew`,
    { param: '--output' },
  );
}

function takeLock(lock: string, output: string): void {
  const own = `${process.pid} ${hostname()}`;
  // A second try, where the first found the lock of a process that is gone.
  for (const isLast of [false, true]) {
    try {
      writeFileSync(lock, own, { flag: 'wx' });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const [pid, host] = readFileSync(lock, 'utf8').split(' ');
    if (isLast || host !== hostname() || isProcessAlive(Number(pid))) {
      const advice = `give each run a folder of its own (if that process is gone, remove ${lock})`;
      fail('USAGE_INVALID', `${output}: process ${pid} on ${host} is training there: ${advice}`, { param: '--output' });
    }
    rmSync(lock, { force: true });
  }
}
