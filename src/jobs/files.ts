import { join } from 'node:path';
import { assert, fail, newId, type Clock, type Digest } from '../base/index.ts';
import { BlobStore, type BlobInfo, type Database, type PlainFile, type Vault } from '../storage/index.ts';
import type { Listed } from './newest.ts';
import { failUnknownFile, fileOf, type FilePage, type FileRow, type NewFile, type StoredFile } from './stored-file.ts';

/**
 * Tenants' files. The bytes lie in a content-addressed store of their own, once however many files have them; they go when no file, no
 * part of an upload and no unfinished job names them.
 */
export class FileStore {
  readonly #database: Database;
  readonly #blobs: BlobStore;
  readonly #clock: Clock;
  /** Blobs that are written and not named yet. */
  readonly #staged = new Map<Digest, number>();

  private constructor(database: Database, blobs: BlobStore, clock: Clock) {
    this.#database = database;
    this.#blobs = blobs;
    this.#clock = clock;
  }

  /** @param home its sub-folder `files` belongs to the store */
  static async open(database: Database, home: string, clock: Clock, vault?: Vault): Promise<FileStore> {
    return new FileStore(database, await BlobStore.open(join(home, 'files'), clock, vault), clock);
  }

  /** The bytes of a digest, piece by piece. @throws STORAGE_CORRUPT CONFIG_INVALID */
  read(digest: Digest): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#blobs.read(digest);
  }

  /** The same as a file, for whoever reads paths. */
  plain(digest: Digest): Promise<PlainFile> {
    return this.#blobs.plain(digest);
  }

  /** Encrypts what is not, or not with the vault's key. @returns how many blobs */
  async seal(): Promise<number> {
    let numSealed = 0;
    for (const digest of await this.#blobs.list()) if (await this.#blobs.seal(digest)) numSealed++;
    return numSealed;
  }

  /**
   * Writes bytes and lets `use` name them; they are not swept meanwhile. What `use` does not name is removed.
   * @throws REQUEST_INVALID there are more than `maxBytes`
   */
  async stage<T>(
    chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    maxBytes: number,
    use: (blob: BlobInfo) => T | Promise<T>,
  ): Promise<T> {
    const blob = await this.#blobs.putChunks(limited(chunks, maxBytes));
    this.#staged.set(blob.digest, (this.#staged.get(blob.digest) ?? 0) + 1);
    try {
      return await use(blob);
    } finally {
      const left = (this.#staged.get(blob.digest) ?? 1) - 1;
      if (left === 0) this.#staged.delete(blob.digest);
      else this.#staged.set(blob.digest, left);
      this.#removeUnnamed([blob.digest]);
    }
  }

  /** Names staged bytes. @param id of the caller's making, so that a repetition adds nothing; random unless told */
  add(file: NewFile, { digest, sizeBytes }: BlobInfo, id = newId('file-')): StoredFile {
    return this.#database.transaction(() => this.insert(file, { digest, sizeBytes }, id));
  }

  /** {@link add} inside a transaction. */
  insert(file: NewFile, { digest, sizeBytes }: BlobInfo, id: string): StoredFile {
    // Another process of this home sweeps when it starts.
    if (!this.#blobs.has(digest)) fail('STORAGE_BUSY', `the bytes of ${file.filename} were swept: send it again`);
    const now = Math.floor(this.#clock.epochMs());
    const { tenant, filename, purpose, lifetimeMs, verdict } = file;
    this.#database.run(
      `INSERT INTO stored_files (id, tenant, filename, purpose, digest, size_bytes, created_at, expires_at, form, examples, problem)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
      id,
      tenant,
      filename,
      purpose,
      digest,
      sizeBytes,
      now,
      lifetimeMs === null ? null : now + lifetimeMs,
      verdict.form,
      verdict.examples,
      verdict.problem,
    );
    return this.get(tenant, id);
  }

  /** @param tenant null: the operator, who sees all @throws STORED_FILE_NOT_FOUND also for another tenant's and for an expired one */
  get(tenant: string | null, id: string): StoredFile {
    return fileOf(this.#row(tenant, id) ?? failUnknownFile(id));
  }

  /** @throws STORED_FILE_NOT_FOUND for an unknown `after` */
  list(tenant: string | null, { purpose, limit, order, after }: FilePage): Listed<StoredFile> {
    const isDown = order === 'desc';
    const start = after === undefined ? null : (this.#row(tenant, after) ?? failUnknownFile(after)).seq;
    const rows = this.#database.all<FileRow>(
      `SELECT * FROM stored_files
       WHERE (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR purpose = ?2) AND (expires_at IS NULL OR expires_at > ?3)
         AND (?4 IS NULL OR seq ${isDown ? '<' : '>'} ?4)
       ORDER BY seq ${isDown ? 'DESC' : 'ASC'} LIMIT ?5`,
      tenant,
      purpose ?? null,
      Math.floor(this.#clock.epochMs()),
      start,
      limit + 1,
    );
    return { items: rows.slice(0, limit).map(fileOf), hasMore: rows.length > limit };
  }

  /**
   * Jobs that use it keep its bytes until they end.
   * @param onDelete called inside the transaction: what it throws keeps the file
   * @throws STORED_FILE_NOT_FOUND
   */
  delete(tenant: string | null, id: string, onDelete?: (file: StoredFile) => void): StoredFile {
    const file = this.#database.transaction(() => {
      const found = this.get(tenant, id);
      this.#database.run('DELETE FROM stored_files WHERE id = ?', id);
      onDelete?.(found);
      return found;
    });
    this.#removeUnnamed([file.digest]);
    return file;
  }

  /** Removes files whose time is over. @param onDelete as of {@link delete}, for each @returns how many */
  removeExpired(onDelete?: (file: StoredFile) => void): number {
    const rows = this.#database.transaction(() => {
      const expired = this.#database.all<FileRow>(
        'DELETE FROM stored_files WHERE expires_at IS NOT NULL AND expires_at <= ? RETURNING *',
        Math.floor(this.#clock.epochMs()),
      );
      for (const row of expired) onDelete?.(fileOf(row));
      return expired;
    });
    this.#removeUnnamed(rows.map(({ digest }) => digest));
    return rows.length;
  }

  /** What of the store a tenant's files and uploads have, each once, also where others have it too. */
  holdings(tenant: string): { readonly count: number; readonly digests: readonly Digest[]; readonly bytes: number } {
    const blobs = this.#database.all<{ digest: Digest; size_bytes: number }>(
      `SELECT digest, size_bytes FROM stored_files WHERE tenant = ?1 UNION
       SELECT p.digest, p.size_bytes FROM upload_parts AS p JOIN uploads AS u ON u.id = p.upload WHERE u.tenant = ?1`,
      tenant,
    );
    // A job keeps the digests of files that were deleted under it.
    const ofJobs = this.#database.all<{ digest: Digest }>(
      `SELECT training_digest AS digest FROM jobs WHERE tenant = ?1 UNION
       SELECT validation_digest FROM jobs WHERE tenant = ?1 AND validation_digest IS NOT NULL`,
      tenant,
    );
    const count = this.#database.get<{ n: number }>('SELECT count(*) AS n FROM stored_files WHERE tenant = ?', tenant);
    return {
      count: count?.n ?? 0,
      digests: [...new Set([...blobs, ...ofJobs].map(({ digest }) => digest))],
      bytes: blobs.reduce((sum, { size_bytes }) => sum + size_bytes, 0),
    };
  }

  /** Removes those bytes that nothing names any more. @returns how many blobs */
  release(digests: readonly Digest[]): number {
    return this.#removeUnnamed(digests);
  }

  /** Removes whatever nothing names: what interrupted requests left. @returns how many blobs */
  async sweep(): Promise<number> {
    return this.#removeUnnamed(await this.#blobs.list());
  }

  #removeUnnamed(candidates: readonly Digest[]): number {
    let numRemoved = 0;
    for (const digest of candidates) {
      this.#database.transaction(() => {
        if (this.#staged.has(digest) || this.#isNamed(digest)) return;
        this.#blobs.remove(digest);
        numRemoved++;
      });
    }
    return numRemoved;
  }

  #isNamed(digest: Digest): boolean {
    const row = this.#database.get<{ named: number }>(
      `SELECT EXISTS (SELECT 1 FROM stored_files WHERE digest = ?1) OR EXISTS (SELECT 1 FROM upload_parts WHERE digest = ?1)
         OR EXISTS (SELECT 1 FROM jobs WHERE (training_digest = ?1 OR validation_digest = ?1) AND finished_at IS NULL) AS named`,
      digest,
    );
    assert(row, 'a query without FROM has one row');
    return row.named === 1;
  }

  #row(tenant: string | null, id: string): FileRow | undefined {
    return this.#database.get<FileRow>(
      'SELECT * FROM stored_files WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2) AND (expires_at IS NULL OR expires_at > ?3)',
      id,
      tenant,
      Math.floor(this.#clock.epochMs()),
    );
  }
}

async function* limited(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let numBytes = 0;
  for await (const chunk of chunks) {
    numBytes += chunk.byteLength;
    if (numBytes > maxBytes) {
      fail('REQUEST_INVALID', `the file is larger than ${maxBytes} bytes: split it, or upload less`, { param: 'file' });
    }
    yield chunk;
  }
}
