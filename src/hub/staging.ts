import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { newId } from '../base/index.ts';

/** No process has this id: the folder waits for the next attempt. */
const NOBODY = 0;

/**
 * A folder of one process in which a model is put together, beside the finished ones (so that moving it into place is one rename).
 * Its name says whose it is: `.pull~MODEL~HOST~PID~ID`. What a dead process left behind is taken over by renaming, which only one
 * taker can do; two processes never write into one folder.
 */
export class StagingFolder {
  readonly path: string;
  readonly #folder: string;
  readonly #prefix: string;

  private constructor(folder: string, prefix: string) {
    this.#folder = folder;
    this.#prefix = prefix;
    this.path = join(folder, `${prefix}${process.pid}~${newId('')}`);
  }

  /** A staging folder for a model, with what an attempt that was cut off has already brought. */
  static claim(folder: string, model: string): StagingFolder {
    mkdirSync(folder, { recursive: true });
    const staging = new StagingFolder(folder, `.pull~${model}~${hostname().replaceAll(/[^\w.-]/g, '_')}~`);
    if (!staging.#takeOver()) mkdirSync(staging.path);
    return staging;
  }

  /** Ends this attempt: keeps the parts of files for the next one, or removes the folder when there are none. */
  release(): void {
    if (!existsSync(this.path)) return;
    if (readdirSync(this.path).length === 0) rmSync(this.path, { recursive: true });
    else renameSync(this.path, join(this.#folder, `${this.#prefix}${NOBODY}~${newId('')}`));
  }

  /** Removes what dead processes left of this model: for when it is complete. */
  sweep(): void {
    for (const name of this.#abandoned()) rmSync(join(this.#folder, name), { recursive: true, force: true });
  }

  #takeOver(): boolean {
    for (const name of this.#abandoned()) {
      try {
        renameSync(join(this.#folder, name), this.path);
        return true;
      } catch (error) {
        // Another process was faster.
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
      }
    }
    return false;
  }

  #abandoned(): string[] {
    return readdirSync(this.#folder).filter((name) => {
      if (!name.startsWith(this.#prefix)) return false;
      const pid = Number(name.slice(this.#prefix.length).split('~')[0]);
      return pid === NOBODY || (Number.isInteger(pid) && !isAlive(pid));
    });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: alive, and somebody else's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
