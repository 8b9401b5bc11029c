import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, lstat, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fail, type Clock } from '../base/index.ts';
import { sweepTemporaries } from './atomic.ts';
import type { FileCipher } from './cipher.ts';

/** How files are kept unreadable on disk, and where they are readable while they are used. */
export interface Vault {
  readonly cipher: FileCipher;
  /** A folder in memory, for this user only. */
  readonly scratch: string;
}

/** A file system in memory that Linux has everywhere. */
const MEMORY = '/dev/shm';

/**
 * A home's folder for readable files: in memory, so that nothing of it is on a disk. Processes of one home share it.
 * @throws CONFIG_INVALID this system has no such file system
 */
export async function openVault(home: string, cipher: FileCipher, clock: Clock): Promise<Vault> {
  if (!existsSync(MEMORY)) {
    fail('CONFIG_INVALID', `encryption needs ${MEMORY}, a file system in memory, which this system does not have`);
  }
  const name = createHash('sha256').update(resolve(home)).digest('hex').slice(0, 16);
  const scratch = join(MEMORY, `espalier-${process.getuid?.() ?? 0}-${name}`);
  await mkdir(scratch, { recursive: true, mode: 0o700 });
  // Anybody may make a folder or a link of that name there.
  const found = await lstat(scratch);
  if (found.uid !== process.getuid?.() || !found.isDirectory()) {
    fail('CONFIG_INVALID', `${scratch} is not this user's own folder: remove it`);
  }
  await chmod(scratch, 0o700);
  await sweepTemporaries(scratch, clock);
  return { cipher, scratch };
}
