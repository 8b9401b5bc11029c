/** A tenant's file: what is known of it, and its row. */
import { fail, type Digest } from '../base/index.ts';

export type FilePurpose = 'fine-tune' | 'fine-tune-results';

/** What a file's content has been found to be. */
export interface FileVerdict {
  /** `chat`, `completion`, `preference`; null for a file that is no training data. */
  readonly form: string | null;
  readonly examples: number | null;
  /** What is wrong with it, with lines; null: nothing is. */
  readonly problem: string | null;
}

export interface StoredFile extends FileVerdict {
  /** `file-…`. */
  readonly id: string;
  readonly tenant: string;
  readonly filename: string;
  readonly purpose: FilePurpose;
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly expiresAt: number | null;
}

export interface NewFile {
  readonly tenant: string;
  readonly filename: string;
  readonly purpose: FilePurpose;
  /** How long it is kept; null: until it is deleted. */
  readonly lifetimeMs: number | null;
  readonly verdict: FileVerdict;
}

export interface FilePage {
  readonly purpose?: FilePurpose | undefined;
  readonly limit: number;
  readonly order: 'asc' | 'desc';
  /** The last file of the page before. */
  readonly after?: string | undefined;
}

/** As the table has it. */
export interface FileRow {
  readonly seq: number;
  readonly id: string;
  readonly tenant: string;
  readonly filename: string;
  readonly purpose: FilePurpose;
  readonly digest: Digest;
  readonly size_bytes: number;
  readonly created_at: number;
  readonly expires_at: number | null;
  readonly form: string | null;
  readonly examples: number | null;
  readonly problem: string | null;
}

/** @throws STORED_FILE_NOT_FOUND */
export function failUnknownFile(id: string): never {
  return fail('STORED_FILE_NOT_FOUND', `no file "${id}": upload it with POST /v1/files`, { param: 'file_id' });
}

export function fileOf(row: FileRow): StoredFile {
  return {
    id: row.id,
    tenant: row.tenant,
    filename: row.filename,
    purpose: row.purpose,
    digest: row.digest,
    sizeBytes: row.size_bytes,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    form: row.form,
    examples: row.examples,
    problem: row.problem,
  };
}
