import type { Digest, Problem } from '../base/index.ts';
import type { BlobStore, Database } from '../storage/index.ts';
import { referenceOf } from './adapter-version.ts';
import { manifestDigest } from './artefact-files.ts';
import { listVersions } from './catalog.ts';
import { dataOf } from './training-data.ts';

/** Reads every blob that a version names. An empty list means that all is whole. */
export async function verifyVersions(database: Database, blobs: BlobStore): Promise<Problem[]> {
  const problems: Problem[] = [];
  const states = new Map<Digest, Awaited<ReturnType<BlobStore['verify']>>>();
  for (let after: string | undefined; ;) {
    const page = listVersions(database, null, after === undefined ? {} : { after });
    for (const version of page) {
      const where = referenceOf(version);
      if (manifestDigest(version) !== version.digest) {
        problems.push({ where, message: `its rows do not add up to ${version.digest}` });
      }
      const needed = [
        { name: 'manifest', digest: version.digest },
        ...version.files,
        ...dataOf(database, version).map(({ role, digest }) => ({ name: `${role} data`, digest })),
      ];
      for (const { name, digest } of needed) {
        const state = states.get(digest) ?? (await blobs.verify(digest));
        states.set(digest, state);
        if (state !== 'whole') problems.push({ where, message: `${name} (${digest}) is ${state}` });
      }
    }
    const last = page.at(-1);
    if (!last) return problems;
    after = referenceOf(last);
  }
}

/** How many removals share a transaction: others wait for it. */
const SWEEP_BATCH = 256;

/**
 * Removes those of `candidates` that no version names, and tells which. Each batch holds the write lock, so that no publish can
 * name a blob between the question and the removal.
 */
export function sweepBlobs(database: Database, blobs: BlobStore, candidates: readonly Digest[]): Digest[] {
  const removed: Digest[] = [];
  for (let begin = 0; begin < candidates.length; begin += SWEEP_BATCH) {
    database.transaction(() => {
      for (const digest of candidates.slice(begin, begin + SWEEP_BATCH)) {
        if (isNamed(database, digest)) continue;
        blobs.remove(digest);
        removed.push(digest);
      }
    });
  }
  return removed;
}

function isNamed(database: Database, digest: Digest): boolean {
  const row = database.get<{ named: number }>(
    `SELECT EXISTS (SELECT 1 FROM adapter_files WHERE digest = ?1) OR EXISTS (SELECT 1 FROM adapter_versions WHERE digest = ?1)
       OR EXISTS (SELECT 1 FROM adapter_data WHERE digest = ?1) AS named`,
    digest,
  );
  return row?.named === 1;
}
