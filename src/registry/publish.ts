import { assert, fail, isDigest, isName, type Clock, type Digest } from '../base/index.ts';
import type { BlobStore, Database } from '../storage/index.ts';
import type { AdapterFile, AdapterVersion, BaseReference, Classes, JsonValue } from './adapter-version.ts';
import { checkAlias, LATEST, moveAlias } from './aliases.ts';
import { manifestText, storeFiles } from './artefact-files.ts';
import { findVersion } from './catalog.ts';
import { addData, storeData, type TrainingData } from './training-data.ts';
import { requireAllowance, type Allowance } from './holdings.ts';

/** What the files themselves do not say in one place. */
export interface PublishInfo {
  readonly base: BaseReference;
  readonly method: string;
  readonly rank: number | null;
  readonly parameters: number;
  /** Of a classifier. */
  readonly classes?: Classes | null | undefined;
  readonly metrics?: { readonly [name: string]: number };
  readonly provenance?: { readonly [name: string]: JsonValue };
  /** Files that it was trained on. They stay with the version, so that it can be trained anew on another base. */
  readonly data?: readonly TrainingData[] | undefined;
  /** The alias that moves to the new version: `latest` unless told, none when null. */
  readonly alias?: string | null;
  /** How much the tenant may have, this version included. */
  readonly allowance?: Allowance | undefined;
  /** Called for a new version inside the transaction that adds it: what it throws undoes the version. */
  readonly onPublish?: ((version: AdapterVersion) => void) | undefined;
}

export interface PublishResult {
  readonly version: AdapterVersion;
  /** False when the task had this content already: then nothing was changed, aliases included. */
  readonly isNew: boolean;
}

/** A sweep by another process can take a blob between its writing and the transaction; once is rare, thrice is a fault. */
const MAX_TRIES = 3;

/**
 * Publishes an artefact folder as the next version of a task. First the blobs, then one transaction that names them: a process
 * that dies in between leaves blobs that nobody names, and {@link sweepBlobs} takes them.
 * @throws REQUEST_INVALID a name or a figure is malformed; QUOTA_EXCEEDED the tenant would have more than it may
 * @throws ADAPTER_INVALID FILE_NOT_FOUND the folder is no artefact
 */
export async function publishArtefact(
  database: Database,
  blobs: BlobStore,
  clock: Clock,
  target: { readonly tenant: string; readonly task: string },
  folder: string,
  info: PublishInfo,
): Promise<PublishResult> {
  checkInfo(target, info);
  for (let numTries = 1; ; numTries++) {
    const files = await storeFiles(blobs, folder);
    const manifest = await blobs.put(manifestText({ ...info, files }));
    const data = await storeData(blobs, info.data ?? []);
    const result = database.transaction(() => {
      const needed = [manifest, ...files, ...data].map(({ digest }) => digest);
      if (!needed.every((digest) => blobs.has(digest))) return undefined;
      const published = insertOnce(database, clock, target, manifest.digest, files, info);
      addData(database, published.version, data);
      return published;
    });
    if (result) return result;
    assert(numTries < MAX_TRIES, 'blobs that were just written are there');
  }
}

function insertOnce(
  database: Database,
  clock: Clock,
  { tenant, task }: { readonly tenant: string; readonly task: string },
  digest: Digest,
  files: readonly AdapterFile[],
  info: PublishInfo,
): PublishResult {
  const known = findVersion(database, 'byContent', tenant, task, digest);
  if (known) return { version: known, isNew: false };
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  if (info.allowance) requireAllowance(database, tenant, sizeBytes, info.allowance);
  const counter = database.get<{ last_version: number }>(
    `INSERT INTO tasks (tenant, task, last_version) VALUES (?, ?, 1)
     ON CONFLICT (tenant, task) DO UPDATE SET last_version = last_version + 1 RETURNING last_version`,
    tenant,
    task,
  );
  assert(counter, 'an upsert returns its row');
  const row = database.get<{ id: number }>(
    `INSERT INTO adapter_versions (tenant, task, version, digest, base_name, base_digest, method, rank, parameters,
       classes, size_bytes, created_at, metrics, provenance) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
    tenant,
    task,
    counter.last_version,
    digest,
    info.base.name,
    info.base.digest,
    info.method,
    info.rank,
    info.parameters,
    info.classes ? JSON.stringify(info.classes) : null,
    sizeBytes,
    Math.floor(clock.epochMs()),
    JSON.stringify(info.metrics ?? {}),
    JSON.stringify(info.provenance ?? {}),
  );
  assert(row, 'an insert returns its row');
  for (const file of files) {
    database.run(
      'INSERT INTO adapter_files (version_id, name, digest, size_bytes) VALUES (?, ?, ?, ?)',
      row.id,
      file.name,
      file.digest,
      file.sizeBytes,
    );
  }
  const target = { tenant, task, version: counter.last_version };
  if (info.alias !== null) moveAlias(database, target, info.alias ?? LATEST, clock);
  const version = findVersion(database, 'byVersion', tenant, task, counter.last_version);
  assert(version, 'a version that was just inserted is found');
  info.onPublish?.(version);
  return { version, isNew: true };
}

function checkInfo({ tenant, task }: { readonly tenant: string; readonly task: string }, info: PublishInfo): void {
  for (const [param, name] of Object.entries({ tenant, task })) {
    if (!isName(name)) {
      fail(
        'REQUEST_INVALID',
        `${param} "${name}" must begin with a letter or digit and hold only a-z, 0-9, ".", "_", "-"`,
        { param },
      );
    }
  }
  if (typeof info.alias === 'string') checkAlias(info.alias);
  if (!isDigest(info.base.digest)) {
    fail(
      'REQUEST_INVALID',
      `base.digest must be sha256: and 64 hexadecimal digits, got "${String(info.base.digest)}"`,
      { param: 'base.digest' },
    );
  }
  const counts: [string, number | null][] = [
    ['parameters', info.parameters],
    ['rank', info.rank],
  ];
  for (const [param, count] of counts) {
    if (count !== null && !(Number.isSafeInteger(count) && count >= 0))
      fail('REQUEST_INVALID', `${param} must be a whole number, got ${count}`, { param });
  }
  for (const [name, value] of Object.entries(info.metrics ?? {})) {
    // JSON has no NaN: it would come back as null.
    if (!Number.isFinite(value))
      fail('REQUEST_INVALID', `metrics.${name} must be a finite number, got ${value}`, { param: `metrics.${name}` });
  }
}
