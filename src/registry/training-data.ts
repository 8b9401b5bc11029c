import type { Digest } from '../base/index.ts';
import type { BlobStore, Database } from '../storage/index.ts';
import type { AdapterVersion } from './adapter-version.ts';

export type DataRole = 'train' | 'valid';

/** A file that a version was trained on, or held against while it was. */
export interface TrainingData {
  readonly role: DataRole;
  readonly path: string;
}

/** The same once it is kept. */
export interface KeptData {
  readonly role: DataRole;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

type Target = Pick<AdapterVersion, 'tenant' | 'task' | 'version'>;

/** Copies the files in; equal ones of many versions are one blob. @throws FILE_NOT_FOUND */
export async function storeData(blobs: BlobStore, data: readonly TrainingData[]): Promise<KeptData[]> {
  const kept: KeptData[] = [];
  for (const { role, path } of data) kept.push({ role, ...(await blobs.putFile(path)) });
  return kept;
}

/** What a version has already stays. Inside a transaction. */
export function addData(database: Database, { tenant, task, version }: Target, data: readonly KeptData[]): void {
  for (const { role, digest, sizeBytes } of data) {
    database.run(
      `INSERT INTO adapter_data (tenant, task, version, role, digest, size_bytes) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
      tenant,
      task,
      version,
      role,
      digest,
      sizeBytes,
    );
  }
}

export function dataOf(database: Database, { tenant, task, version }: Target): KeptData[] {
  return database.all<KeptData>(
    `SELECT role, digest, size_bytes AS sizeBytes FROM adapter_data
     WHERE tenant = ? AND task = ? AND version = ? ORDER BY role`,
    tenant,
    task,
    version,
  );
}
