import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { EspalierError, fail } from '../../base/index.ts';
import type { FileServices } from '../../http/index.ts';
import type { FileVerdict } from '../../jobs/index.ts';
import type { Principal } from '../../tenancy/index.ts';
import { fileEntry, uploadEntry } from '../governance/entries.ts';
import type { Platform } from '../platform.ts';
import type { DataChecker } from './data-checker.ts';

/** A file's size, at most: OpenAI's limit for data to train on. */
const MAX_FILE_BYTES = 512 * 2 ** 20;
/** Lines of a wrong file that are told. */
const MAX_TOLD = 100;

/** Files and uploads of tenants. What is uploaded to train on is read at once, so that its sender hears of every line that is wrong. */
export function makeFileServices(
  { files, uploads, audit }: Pick<Platform, 'files' | 'uploads' | 'audit'>,
  checker: DataChecker,
  maxBytes = MAX_FILE_BYTES,
): FileServices {
  const judge = (path: string, filename: string): Promise<FileVerdict> => judgeFile(checker, path, filename);
  return {
    create(principal, chunks, fields) {
      const tenant = ownTenant(principal);
      return files.stage(chunks, maxBytes, async (blob) => {
        const { filename, purpose, lifetimeMs } = await fields();
        await using plain = await files.plain(blob.digest);
        const verdict = await judge(plain.path, filename);
        return audit.during(
          () => files.add({ tenant, filename, purpose, lifetimeMs, verdict }, blob),
          (added) => fileEntry(principal.keyId, 'file.create', added),
        );
      });
    },
    get: ({ tenant }, id) => files.get(tenant, id),
    list: ({ tenant }, page) => files.list(tenant, page),
    delete: ({ tenant, keyId }, id) =>
      files.delete(tenant, id, (file) => void audit.record(fileEntry(keyId, 'file.delete', file))),
    content({ tenant }, id) {
      const file = files.get(tenant, id);
      // Opened when it is first read: a file that is deleted meanwhile breaks the answer off, and says so in the log.
      const stream = Readable.toWeb(Readable.from(files.read(file.digest))) as ReadableStream<Uint8Array>;
      return { file, stream };
    },
    createUpload(principal, { lifetimeMs: fileLifetimeMs, ...upload }) {
      if (upload.sizeBytes > maxBytes) {
        fail('REQUEST_INVALID', `bytes must be at most ${maxBytes}, got ${upload.sizeBytes}`, { param: 'bytes' });
      }
      const tenant = ownTenant(principal);
      return audit.during(
        () => uploads.create({ tenant, ...upload, fileLifetimeMs }),
        (created) => uploadEntry(principal.keyId, 'upload.create', created),
      );
    },
    addPart: ({ tenant, keyId }, id, chunks, isWhole) =>
      uploads.addPart(tenant, id, chunks, isWhole, (part, upload) => {
        audit.record(uploadEntry(keyId, 'upload.part', upload, { part: part.id }));
      }),
    async completeUpload({ tenant, keyId }, id, partIds, md5) {
      const check = async (path: string, filename: string): Promise<FileVerdict> => {
        if (md5 !== null) await requireMd5(path, md5);
        return judge(path, filename);
      };
      const file = await uploads.complete(tenant, id, partIds, check, (added) => {
        audit.record(fileEntry(keyId, 'upload.complete', added, { upload: id }));
      });
      return { upload: uploads.get(tenant, id), file };
    },
    cancelUpload: ({ tenant, keyId }, id) =>
      uploads.cancel(tenant, id, (upload) => void audit.record(uploadEntry(keyId, 'upload.cancel', upload))),
  };
}

/** @throws REQUEST_INVALID for the operator, who has no tenant that a file could belong to */
export function ownTenant({ tenant }: Principal): string {
  if (tenant !== null) return tenant;
  return fail('REQUEST_INVALID', 'an operator’s key has no tenant that this could belong to: use a key of the tenant');
}

async function judgeFile(checker: DataChecker, path: string, filename: string): Promise<FileVerdict> {
  try {
    const { form, examples } = await checker.check({ path, name: filename, base: null });
    return { form, examples, problem: null };
  } catch (error) {
    if (!(error instanceof EspalierError && error.code === 'DATA_INVALID')) throw error;
    const lines = error.problems.slice(0, MAX_TOLD).map(({ where, message }) => `${where}: ${message}`);
    if (error.problems.length > MAX_TOLD) lines.push(`and ${error.problems.length - MAX_TOLD} more`);
    return { form: null, examples: null, problem: lines.length > 0 ? lines.join('\n') : error.message };
  }
}

async function requireMd5(path: string, expected: string): Promise<void> {
  const hash = createHash('md5');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  const found = hash.digest('hex');
  if (found !== expected) fail('REQUEST_INVALID', `the file's md5 is ${found}, expected ${expected}`, { param: 'md5' });
}
