import { realpathSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { errorMessage, fail } from '../base/index.ts';

/** A name that stays in its folder: no parts `..`, not absolute on any system, no NUL. */
export function isPlainRelative(name: string): boolean {
  if (name === '' || name.includes('\0') || isAbsolute(name) || /^[a-zA-Z]:|^[\\/]/.test(name)) return false;
  return !name.split(/[\\/]/).includes('..');
}

/**
 * The path of a file in a folder from outside, once it is sure that opening it opens nothing elsewhere: symbolic links may lead to
 * other places in the folder, or, as in Hugging Face's cache (`…/snapshots/REVISION/FILE -> ../../blobs/HASH`), to its blobs.
 * @throws FILE_NOT_FOUND when there is no such file; FILE_INVALID when it lies outside
 */
export function fileInside(folder: string, name: string): string {
  const path = join(folder, name);
  if (!isPlainRelative(name)) fail('FILE_INVALID', `${folder}: ${JSON.stringify(name)} is outside the folder`);
  const real = realPath(path, path);
  const root = realPath(folder, folder);
  const roots = [root];
  if (basename(dirname(root)) === 'snapshots') roots.push(resolve(root, '..', '..', 'blobs'));
  if (!roots.some((allowed) => real.startsWith(allowed + sep))) {
    fail('FILE_INVALID', `${path}: is a link to a place outside the folder: put the file itself there`);
  }
  return path;
}

function realPath(path: string, name: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (isMissing) fail('FILE_NOT_FOUND', `${name}: there is no such file`, { cause: error });
    return fail('FILE_INVALID', `${name}: cannot be opened: ${errorMessage(error)}`, { cause: error });
  }
}
