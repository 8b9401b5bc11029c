import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fail } from '../../base/index.ts';
import { isProcessAlive } from '../../storage/index.ts';
import { CHECKPOINT_FILE, RUN_FOLDER } from '../../training/index.ts';

const LOCK = 'lock';

/** What a run does with a checkpoint that is there: it goes on from it, or drops it. */
interface Intent {
  readonly resume: boolean;
  readonly restart?: boolean | undefined;
}

/**
 * Takes a folder for one run: two would write each other's checkpoints, and a run that begins anew would replace what an unfinished one
 * has reached. It is given back when the claim is disposed of; what a killed process held is free.
 * @throws USAGE_INVALID another process has the folder, or there is a checkpoint that would be lost
 */
export function claimRunFolder(output: string, { resume, restart = false }: Intent): Disposable {
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
  const checkpoint = join(output, CHECKPOINT_FILE);
  if (restart) rmSync(checkpoint, { force: true });
  if (resume || !existsSync(checkpoint)) return claim;
  claim[Symbol.dispose]();
  return fail(
    'USAGE_INVALID',
    `${output} has the checkpoint of a run that did not come to its end: --resume goes on from it, --restart drops it and begins anew`,
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
