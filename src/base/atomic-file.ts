import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errorMessage, fail } from './errors.ts';
import { newId } from './ids.ts';

/** No space, no quota, or no file as large as that. */
const FULL_CODES = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/** Linux writes at most 2^31 - 4096 bytes at once. */
const MAX_WRITE_BYTES = 2 ** 30;

/** A name that is being written under: `.NAME.ID.tmp`. */
const UNFINISHED = /^\..+\.[0-9A-Za-z]{24}\.tmp$/;

/**
 * Writes a whole file or nothing, synchronously: a temporary file in the same folder, fsync, rename, fsync of the folder. A kill at
 * any moment leaves what was there before.
 * @param chunks the file's bytes, in order
 * @returns the bytes written
 * @throws DISK_FULL when it does not fit; nothing of it is left then
 */
export function writeFileAtomicSync(path: string, chunks: Iterable<Uint8Array>): number {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${newId('')}.tmp`);
  let written = 0;
  try {
    const file = openSync(temporary, 'wx', 0o666);
    try {
      for (const chunk of chunks) {
        for (let done = 0; done < chunk.length;) {
          done += writeSync(file, chunk, done, Math.min(chunk.length - done, MAX_WRITE_BYTES));
        }
        written += chunk.length;
      }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    if (FULL_CODES.includes((error as NodeJS.ErrnoException).code ?? '')) {
      fail(
        'DISK_FULL',
        `${path}: cannot be written (${errorMessage(error)}): make room and run again; what was there is as it was`,
        {
          param: path,
          cause: error,
        },
      );
    }
    throw error;
  }
  syncFolder(folder);
  return written;
}

/**
 * Removes what a killed process had not finished writing by {@link writeFileAtomicSync}. Only for a folder that nobody else writes to now.
 * @param folder one that need not exist; folders in it are left alone
 */
export function sweepUnfinishedFiles(folder: string): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) if (UNFINISHED.test(name)) rmSync(join(folder, name), { force: true });
}

/** Makes a rename durable: without it a power cut may forget the new name. */
function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
