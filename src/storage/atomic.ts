import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { newId, type Clock } from '../base/index.ts';

/** Temporary names begin so; they hold the host and process that write them, so that others know what was abandoned. */
const PREFIX = '.tmp';
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;

/** A name, in `folder`, for something that is not yet whole. */
export function temporaryPath(folder: string): string {
  return join(folder, [PREFIX, hostname(), process.pid, newId('')].join('~'));
}

/** Makes the names in a folder durable: without it a power cut may forget a rename. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a folder and its parents, durably. */
export async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made));
}

/** Writes a whole file or nothing: temporary file, fsync, rename, fsync of the folder. */
export async function writeFileAtomic(path: string, bytes: Uint8Array | string, mode = 0o666): Promise<void> {
  const folder = dirname(path);
  await makeFolder(folder);
  const temporary = temporaryPath(folder);
  try {
    const handle = await open(temporary, 'wx', mode);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(folder);
}

/**
 * Makes `folder` by `fill`, whole or not at all; a folder that is there already is left alone. Of two processes that do it at
 * once one wins and the other's work is thrown away.
 * @param fill writes and fsyncs the files of the folder that it is given
 */
export async function makeFolderOnce(folder: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  if (await isFolder(folder)) return;
  const parent = dirname(folder);
  await makeFolder(parent);
  const temporary = temporaryPath(parent);
  try {
    await mkdir(temporary);
    await fill(temporary);
    await syncFolder(temporary);
    await rename(temporary, folder);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (!(await isFolder(folder))) throw error;
  }
  await syncFolder(parent);
}

/**
 * Removes what interrupted writes left in `folder`: temporaries of this host's dead processes, and any that are a day old. Those
 * of living processes stay, also when this one has just started.
 */
export async function sweepTemporaries(folder: string, clock: Clock): Promise<void> {
  for (const name of await readdir(folder)) {
    const [prefix, host, pid] = name.split('~');
    if (prefix !== PREFIX || host === undefined || pid === undefined) continue;
    const path = join(folder, name);
    const isOrphan = host === hostname() && !isProcessAlive(Number(pid));
    if (isOrphan || (await isOld(path, clock))) await rm(path, { recursive: true, force: true });
  }
}

/** Whether this host has a process of that number. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Not permitted means that the process is there and somebody else's.
    return isErrno(error, 'EPERM');
  }
}

async function isOld(path: string, clock: Clock): Promise<boolean> {
  try {
    return clock.epochMs() - (await stat(path)).mtimeMs > ABANDONED_AFTER_MS;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
