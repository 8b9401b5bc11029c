import { createHash } from 'node:crypto';
import { createReadStream, existsSync, rmSync } from 'node:fs';
import { chmod, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { assert, fail, isDigest, type Clock, type Digest } from '../base/index.ts';
import { isErrno, makeFolder, sweepTemporaries, syncFolder, temporaryPath } from './atomic.ts';

export interface BlobInfo {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Bytes of a file in memory at once. */
const READ_BYTES = 1024 * 1024;

export type BlobState = 'whole' | 'missing' | 'corrupt';

/**
 * Files named by the sha256 of their content, under `<folder>/<first two digits>/<64 digits>`. A blob appears by a rename, so it
 * is whole or absent whenever the process dies; writing the same content again, also from another process, is harmless and
 * heals a damaged file. Blobs are read-only, because other folders hard-link them.
 */
export class BlobStore {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Opens or creates the store and removes what interrupted writes left. */
  static async open(folder: string, clock: Clock): Promise<BlobStore> {
    await makeFolder(folder);
    await sweepTemporaries(folder, clock);
    return new BlobStore(folder);
  }

  async put(bytes: Uint8Array | string): Promise<BlobInfo> {
    return this.#write([typeof bytes === 'string' ? Buffer.from(bytes) : bytes]);
  }

  /** Copies in what comes piece by piece, as fast as it comes. */
  putChunks(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<BlobInfo> {
    return this.#write(chunks);
  }

  /** Copies a file in, reading it once. @throws FILE_NOT_FOUND */
  async putFile(path: string): Promise<BlobInfo> {
    try {
      return await this.#write(chunksOf(path));
    } catch (error) {
      if (isErrno(error, 'ENOENT')) fail('FILE_NOT_FOUND', `${path}: no such file`, { param: path, cause: error });
      throw error;
    }
  }

  /** The path of a blob's file, whether or not it is there. It must not be written to. */
  path(digest: Digest): string {
    assert(isDigest(digest), `${digest} is a digest`);
    const hex = digest.slice('sha256:'.length);
    return join(this.folder, hex.slice(0, 2), hex);
  }

  /** @throws STORAGE_CORRUPT it is missing, or its content is not what its name says */
  async get(digest: Digest): Promise<Buffer> {
    let bytes: Buffer;
    try {
      bytes = await readFile(this.path(digest));
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
      return fail('STORAGE_CORRUPT', `blob ${digest} is missing`, { cause: error });
    }
    if (`sha256:${createHash('sha256').update(bytes).digest('hex')}` !== digest) {
      fail('STORAGE_CORRUPT', `blob ${digest} is damaged: publish its file again`);
    }
    return bytes;
  }

  /** Synchronous, so that it can be asked inside a transaction. */
  has(digest: Digest): boolean {
    return existsSync(this.path(digest));
  }

  /** Reads the whole blob and compares its hash with its name. */
  async verify(digest: Digest): Promise<BlobState> {
    if (!this.has(digest)) return 'missing';
    return (await hashFile(this.path(digest))) === digest ? 'whole' : 'corrupt';
  }

  /** Removes a blob; one that is not there is removed already. Synchronous, as {@link has} is. */
  remove(digest: Digest): void {
    rmSync(this.path(digest), { force: true });
  }

  /** The digests of all blobs, in no order. */
  async list(): Promise<Digest[]> {
    const digests: Digest[] = [];
    for (const folder of await readdir(this.folder)) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      for (const name of await readdir(join(this.folder, folder))) {
        const digest = `sha256:${name}`;
        if (isDigest(digest)) digests.push(digest);
      }
    }
    return digests;
  }

  async #write(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<BlobInfo> {
    const temporary = temporaryPath(this.folder);
    const hash = createHash('sha256');
    let sizeBytes = 0;
    try {
      const handle = await open(temporary, 'wx');
      try {
        for await (const chunk of chunks) {
          hash.update(chunk);
          sizeBytes += chunk.byteLength;
          await handle.writeFile(chunk);
        }
        await handle.sync();
      } finally {
        await handle.close();
      }
      await chmod(temporary, 0o444);
      const digest: Digest = `sha256:${hash.digest('hex')}`;
      await this.#rename(temporary, this.path(digest));
      return { digest, sizeBytes };
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  async #rename(temporary: string, path: string): Promise<void> {
    const folder = dirname(path);
    assert(basename(folder).length === 2, 'blobs lie two digits deep');
    await mkdir(folder, { recursive: true });
    await rename(temporary, path);
    await syncFolder(folder);
    await syncFolder(this.folder);
  }
}

async function hashFile(path: string): Promise<Digest> {
  const hash = createHash('sha256');
  for await (const chunk of chunksOf(path)) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}

/** The file is opened when the first chunk is asked for: a stream that fails while nobody listens would end the process. */
async function* chunksOf(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  yield* createReadStream(path, { highWaterMark: READ_BYTES }) as AsyncIterable<Uint8Array>;
}
