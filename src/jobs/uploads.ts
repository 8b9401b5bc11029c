import { fail, newId, type Clock, type Digest } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import type { FileStore } from './files.ts';
import type { FilePurpose, FileVerdict, StoredFile } from './stored-file.ts';

export interface NewUpload {
  readonly tenant: string;
  readonly filename: string;
  readonly purpose: FilePurpose;
  readonly mimeType: string;
  /** What the parts add up to. */
  readonly sizeBytes: number;
  /** Of the file that it becomes. */
  readonly fileLifetimeMs: number | null;
}

export type UploadStatus = 'pending' | 'completed' | 'cancelled' | 'expired';

export interface Upload extends NewUpload {
  /** `upload_…`. */
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly status: UploadStatus;
  /** The file that it has become. */
  readonly file: string | null;
}

export interface UploadPart {
  /** `part_…`. */
  readonly id: string;
  readonly upload: string;
  readonly createdAt: number;
}

interface UploadRow {
  readonly id: string;
  readonly tenant: string;
  readonly filename: string;
  readonly purpose: FilePurpose;
  readonly mime_type: string;
  readonly size_bytes: number;
  readonly file_lifetime_ms: number | null;
  readonly created_at: number;
  readonly expires_at: number;
  readonly status: 'pending' | 'completed' | 'cancelled';
  readonly file: string | null;
}

interface PartRow {
  readonly id: string;
  readonly digest: Digest;
  readonly size_bytes: number;
}

/** OpenAI's figures: an hour for an upload, 64 MB for a part. */
const UPLOAD_LIFETIME_MS = 3_600_000;
const MAX_PART_BYTES = 64 * 2 ** 20;

/** Files that come in parts, in any order. Nothing of them is a file until they are completed. */
export class Uploads {
  readonly #database: Database;
  readonly #files: FileStore;
  readonly #clock: Clock;

  constructor(database: Database, files: FileStore, clock: Clock) {
    this.#database = database;
    this.#files = files;
    this.#clock = clock;
  }

  create(upload: NewUpload): Upload {
    const id = newId('upload_');
    const now = Math.floor(this.#clock.epochMs());
    this.#database.run(
      `INSERT INTO uploads (id, tenant, filename, purpose, mime_type, size_bytes, file_lifetime_ms, created_at, expires_at, status)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending')`,
      id,
      upload.tenant,
      upload.filename,
      upload.purpose,
      upload.mimeType,
      upload.sizeBytes,
      upload.fileLifetimeMs,
      now,
      now + UPLOAD_LIFETIME_MS,
    );
    return this.get(upload.tenant, id);
  }

  /** @throws UPLOAD_NOT_FOUND also for another tenant's */
  get(tenant: string | null, id: string): Upload {
    const row = this.#database.get<UploadRow>(
      'SELECT * FROM uploads WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)',
      id,
      tenant,
    );
    if (!row)
      return fail('UPLOAD_NOT_FOUND', `no upload "${id}": create it with POST /v1/uploads`, { param: 'upload_id' });
    const isExpired = row.status === 'pending' && row.expires_at <= this.#clock.epochMs();
    return {
      id: row.id,
      tenant: row.tenant,
      filename: row.filename,
      purpose: row.purpose,
      mimeType: row.mime_type,
      sizeBytes: row.size_bytes,
      fileLifetimeMs: row.file_lifetime_ms,
      createdAt: row.created_at,
      expiresAt: row.expires_at,
      status: isExpired ? 'expired' : row.status,
      file: row.file,
    };
  }

  /**
   * @param isWhole settles when nothing more comes; the part counts only then
   * @param onAdd called inside the transaction: what it throws leaves the part out
   * @throws UPLOAD_NOT_FOUND; REQUEST_INVALID it is no longer pending, or the part is too large
   */
  addPart(
    tenant: string | null,
    id: string,
    chunks: AsyncIterable<Uint8Array>,
    isWhole: Promise<unknown>,
    onAdd?: (part: UploadPart, upload: Upload) => void,
  ): Promise<UploadPart> {
    this.#requirePending(tenant, id);
    return this.#files.stage(chunks, MAX_PART_BYTES, async ({ digest, sizeBytes }) => {
      await isWhole;
      return this.#database.transaction(() => {
        const pending = this.#requirePending(tenant, id);
        const part = { id: newId('part_'), upload: id, createdAt: Math.floor(this.#clock.epochMs()) };
        this.#database.run(
          'INSERT INTO upload_parts (id, upload, digest, size_bytes, created_at) VALUES (?, ?, ?, ?, ?)',
          part.id,
          id,
          digest,
          sizeBytes,
          part.createdAt,
        );
        onAdd?.(part, pending);
        return part;
      });
    });
  }

  /**
   * Joins the parts, in the order that is given, to a file.
   * @param judge looks at the whole: the path of its bytes
   * @param onComplete called inside the transaction: what it throws leaves the upload as it was
   * @throws UPLOAD_NOT_FOUND; REQUEST_INVALID a part is unknown, or they do not add up to what was announced
   */
  async complete(
    tenant: string | null,
    id: string,
    partIds: readonly string[],
    judge: (path: string, filename: string) => Promise<FileVerdict>,
    onComplete?: (file: StoredFile) => void,
  ): Promise<StoredFile> {
    const upload = this.#requirePending(tenant, id);
    const parts = partIds.map((partId) => this.#part(id, partId));
    const numBytes = parts.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
    if (numBytes !== upload.sizeBytes) {
      fail('REQUEST_INVALID', `the parts have ${numBytes} bytes, the upload was announced with ${upload.sizeBytes}`, {
        param: 'part_ids',
      });
    }
    return this.#files.stage(this.#bytesOf(parts), numBytes, async (blob) => {
      await using plain = await this.#files.plain(blob.digest);
      const verdict = await judge(plain.path, upload.filename);
      const { filename, purpose, fileLifetimeMs: lifetimeMs } = upload;
      const file = this.#database.transaction(() => {
        this.#requirePending(tenant, id);
        const added = this.#files.insert(
          { tenant: upload.tenant, filename, purpose, lifetimeMs, verdict },
          blob,
          newId('file-'),
        );
        this.#database.run("UPDATE uploads SET status = 'completed', file = ? WHERE id = ?", added.id, id);
        this.#database.run('DELETE FROM upload_parts WHERE upload = ?', id);
        onComplete?.(added);
        return added;
      });
      this.#files.release(parts.map(({ digest }) => digest));
      return file;
    });
  }

  /** @param onCancel called inside the transaction @throws UPLOAD_NOT_FOUND; REQUEST_INVALID it is no longer pending */
  cancel(tenant: string | null, id: string, onCancel?: (upload: Upload) => void): Upload {
    const parts = this.#database.transaction(() => {
      const pending = this.#requirePending(tenant, id);
      this.#database.run("UPDATE uploads SET status = 'cancelled' WHERE id = ?", id);
      onCancel?.(pending);
      return this.#removeParts('upload = ?', id);
    });
    this.#files.release(parts);
    return this.get(tenant, id);
  }

  /** Forgets the parts of uploads that nobody completed in time. */
  removeExpired(): void {
    const parts = this.#removeParts(
      `upload IN (SELECT id FROM uploads WHERE status = 'pending' AND expires_at <= ?)`,
      Math.floor(this.#clock.epochMs()),
    );
    this.#files.release(parts);
  }

  async *#bytesOf(parts: readonly PartRow[]): AsyncGenerator<Uint8Array, void, undefined> {
    for (const { digest } of parts) yield* this.#files.read(digest);
  }

  #removeParts(where: string, value: string | number): Digest[] {
    return this.#database
      .all<{ digest: Digest }>(`DELETE FROM upload_parts WHERE ${where} RETURNING digest`, value)
      .map(({ digest }) => digest);
  }

  #requirePending(tenant: string | null, id: string): Upload {
    const upload = this.get(tenant, id);
    if (upload.status !== 'pending') {
      fail('REQUEST_INVALID', `upload ${id} is ${upload.status}: create another`, { param: 'upload_id' });
    }
    return upload;
  }

  #part(upload: string, id: string): PartRow {
    const row = this.#database.get<PartRow>('SELECT * FROM upload_parts WHERE id = ? AND upload = ?', id, upload);
    return row ?? fail('REQUEST_INVALID', `upload ${upload} has no part "${id}"`, { param: 'part_ids' });
  }
}
