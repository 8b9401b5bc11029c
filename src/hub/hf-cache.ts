import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Folders of a repository in the Hugging Face cache (`HF_HOME/hub/models--OWNER--NAME/snapshots/COMMIT`), the best first: the commit
 * that the revision names, then what else is there, newest first.
 */
export function cachedSnapshots(hfHome: string, repo: string, revision: string): string[] {
  const folder = join(hfHome, 'hub', `models--${repo.replaceAll('/', '--')}`);
  const snapshots = join(folder, 'snapshots');
  if (!existsSync(snapshots)) return [];
  const reference = join(folder, 'refs', revision);
  const commit = existsSync(reference) ? readFileSync(reference, 'utf8').trim() : revision;
  const byAge = readdirSync(snapshots).sort(
    (a, b) => statSync(join(snapshots, b)).mtimeMs - statSync(join(snapshots, a)).mtimeMs,
  );
  const named = byAge.filter((name) => name === commit);
  return [...named, ...byAge.filter((name) => name !== commit)].map((name) => join(snapshots, name));
}
