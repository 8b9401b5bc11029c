import { copyFile, link, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fail, type Digest } from '../base/index.ts';
import { makeFolderOnce, type BlobStore } from '../storage/index.ts';
import { referenceOf, type AdapterVersion } from './adapter-version.ts';

/** The folder of a version under its human-readable file names. */
export function folderOf(folders: string, digest: Digest): string {
  return join(folders, digest.slice('sha256:'.length));
}

/**
 * Makes a version's folder, whole and only once: its files are hard links to the blobs, or copies where the file system has no
 * links, or readable copies of encrypted ones. Every blob is checked before it is used.
 * @throws STORAGE_CORRUPT a blob is missing or damaged
 */
export async function materialiseVersion(blobs: BlobStore, folders: string, version: AdapterVersion): Promise<string> {
  const folder = folderOf(folders, version.digest);
  await makeFolderOnce(folder, async (temporary) => {
    for (const { name, digest } of version.files) {
      const state = await blobs.verify(digest);
      if (state !== 'whole') {
        fail('STORAGE_CORRUPT', `${name} of ${referenceOf(version)} is ${state} (${digest}): publish it again`);
      }
      if (blobs.isSealed(digest)) await blobs.copy(digest, join(temporary, name));
      else await linkOrCopy(blobs.path(digest), join(temporary, name));
    }
  });
  return folder;
}

export async function removeFolder(folders: string, digest: Digest): Promise<void> {
  await rm(folderOf(folders, digest), { recursive: true, force: true });
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!isLinkRefused(error)) throw error;
    await copyFile(from, to);
    const handle = await open(to, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

/** Another device, a file system without links, or too many links to one file. */
function isLinkRefused(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'EXDEV' || code === 'EPERM' || code === 'ENOTSUP' || code === 'EMLINK' || code === 'ENOSYS';
}
