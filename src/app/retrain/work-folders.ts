import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../base/index.ts';

const FOLDER = 'retrain';

/** Where the successor of a version is trained. @param work see {@link Platform} */
export function retrainFolder(work: string, version: Digest, base: string): string {
  return join(work, FOLDER, `${shortOf(version)}-${shortOf(base)}`);
}

/** The folders that training these versions anew has left. */
export function retrainFoldersOf(work: string, versions: Iterable<Digest>): string[] {
  const root = join(work, FOLDER);
  if (!existsSync(root)) return [];
  const known = new Set(Array.from(versions, shortOf));
  return readdirSync(root)
    .filter((name) => known.has(name.split('-')[0]))
    .map((name) => join(root, name));
}

function shortOf(digest: string): string {
  return digest.slice('sha256:'.length, 'sha256:'.length + 16);
}
