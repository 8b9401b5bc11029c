import { createHash } from 'node:crypto';
import { createReadStream, existsSync, rmSync } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { assert, EspalierError, fail, isDigest, type Clock, type Digest } from '../base/index.ts';
import { isErrno, makeFolder, sweepTemporaries, syncFolder, temporaryPath } from './atomic.ts';
import { FileCipher } from './cipher.ts';
import type { Vault } from './vault.ts';

export interface BlobInfo {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Bytes of a file in memory at once. */
const READ_BYTES = 1024 * 1024;

/** A blob's bytes as a file that can be opened by its path, until it is disposed of. */
export interface PlainFile extends AsyncDisposable {
  readonly path: string;
}

/** What encrypted blobs' names end with. */
const SEALED = '.enc';

export type BlobState = 'whole' | 'missing' | 'corrupt';

/**
 * Files named by the sha256 of their content, under `<folder>/<first two digits>/<64 digits>`. A blob appears by a rename, so it
 * is whole or absent whenever the process dies; writing the same content again, also from another process, is harmless and
 * heals a damaged file. Blobs are read-only, because other folders hard-link them. With a vault, what is written is encrypted, under the name
 * of its readable content and `.enc`; what was written before stays readable until {@link seal} encrypts it too.
 */
export class BlobStore {
  readonly folder: string;
  readonly #vault: Vault | undefined;

  private constructor(folder: string, vault: Vault | undefined) {
    this.folder = folder;
    this.#vault = vault;
  }

  /** Opens or creates the store and removes what interrupted writes left. */
  static async open(folder: string, clock: Clock, vault?: Vault): Promise<BlobStore> {
    await makeFolder(folder);
    await sweepTemporaries(folder, clock);
    return new BlobStore(folder, vault);
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

  /** The path of a blob's file, whether or not it is there. It must not be written to, and may be encrypted. */
  path(digest: Digest): string {
    return this.isSealed(digest) ? this.#sealedPath(digest) : this.#plainPath(digest);
  }

  /** Whether the blob is there, and encrypted. */
  isSealed(digest: Digest): boolean {
    return existsSync(this.#sealedPath(digest));
  }

  /** The blob's bytes, piece by piece, when they are asked for. @throws STORAGE_CORRUPT CONFIG_INVALID */
  async *read(digest: Digest): AsyncGenerator<Uint8Array, void, undefined> {
    if (!this.isSealed(digest)) yield* chunksOf(this.#plainPath(digest));
    else if (this.#vault) yield* this.#vault.cipher.decrypt(this.#sealedPath(digest));
    else failSealed(digest);
  }

  /**
   * The blob as a file of its own name for whoever reads paths: itself, or a readable copy in memory.
   * @throws STORAGE_CORRUPT CONFIG_INVALID
   */
  async plain(digest: Digest): Promise<PlainFile> {
    if (!this.isSealed(digest)) return { path: this.#plainPath(digest), async [Symbol.asyncDispose]() {} };
    if (!this.#vault) return failSealed(digest);
    const folder = temporaryPath(this.#vault.scratch);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, basename(this.#plainPath(digest)));
    const dispose = (): Promise<void> => rm(folder, { recursive: true, force: true });
    try {
      await this.copy(digest, path);
    } catch (error) {
      await dispose();
      throw error;
    }
    return { path, [Symbol.asyncDispose]: dispose };
  }

  /** Writes the blob's readable bytes to a new file. @throws STORAGE_CORRUPT CONFIG_INVALID */
  async copy(digest: Digest, path: string): Promise<void> {
    const file = await open(path, 'wx', 0o400);
    try {
      for await (const chunk of this.read(digest)) await file.writeFile(chunk);
    } finally {
      await file.close();
    }
  }

  /** Encrypts a blob that is not, or not with the vault's own key. @returns whether there was something to do */
  async seal(digest: Digest): Promise<boolean> {
    if (!this.#vault) return false;
    const isSealed = this.isSealed(digest);
    if (isSealed && (await FileCipher.keyIdOf(this.#sealedPath(digest))) === this.#vault.cipher.keyId) {
      const isLeft = existsSync(this.#plainPath(digest));
      rmSync(this.#plainPath(digest), { force: true });
      return isLeft;
    }
    const { digest: found } = await this.#write(this.read(digest));
    if (found !== digest) fail('STORAGE_CORRUPT', `blob ${digest} is damaged: restore it from a copy`);
    rmSync(this.#plainPath(digest), { force: true });
    return true;
  }

  #plainPath(digest: Digest): string {
    assert(isDigest(digest), `${digest} is a digest`);
    const hex = digest.slice('sha256:'.length);
    return join(this.folder, hex.slice(0, 2), hex);
  }

  #sealedPath(digest: Digest): string {
    return this.#plainPath(digest) + SEALED;
  }

  /** @throws STORAGE_CORRUPT it is missing, or its content is not what its name says */
  async get(digest: Digest): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    try {
      for await (const chunk of this.read(digest)) chunks.push(chunk);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
      return fail('STORAGE_CORRUPT', `blob ${digest} is missing`, { cause: error });
    }
    const bytes = Buffer.concat(chunks);
    if (`sha256:${createHash('sha256').update(bytes).digest('hex')}` !== digest) {
      fail('STORAGE_CORRUPT', `blob ${digest} is damaged: publish its file again`);
    }
    return bytes;
  }

  /** Synchronous, so that it can be asked inside a transaction. */
  has(digest: Digest): boolean {
    return existsSync(this.#plainPath(digest)) || this.isSealed(digest);
  }

  /** Reads the whole blob and compares its hash with its name. */
  async verify(digest: Digest): Promise<BlobState> {
    if (!this.has(digest)) return 'missing';
    try {
      const hash = createHash('sha256');
      for await (const chunk of this.read(digest)) hash.update(chunk);
      return `sha256:${hash.digest('hex')}` === digest ? 'whole' : 'corrupt';
    } catch (error) {
      if (error instanceof EspalierError && error.code === 'STORAGE_CORRUPT') return 'corrupt';
      throw error;
    }
  }

  /** Removes a blob; one that is not there is removed already. Synchronous, as {@link has} is. */
  remove(digest: Digest): void {
    rmSync(this.#plainPath(digest), { force: true });
    rmSync(this.#sealedPath(digest), { force: true });
  }

  /** The digests of all blobs, in no order. */
  async list(): Promise<Digest[]> {
    const digests = new Set<Digest>();
    for (const folder of await readdir(this.folder)) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      for (const name of await readdir(join(this.folder, folder))) {
        const digest = `sha256:${name.endsWith(SEALED) ? name.slice(0, -SEALED.length) : name}`;
        if (isDigest(digest)) digests.add(digest);
      }
    }
    return [...digests];
  }

  async #write(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<BlobInfo> {
    const temporary = temporaryPath(this.folder);
    const hash = createHash('sha256');
    let sizeBytes = 0;
    try {
      const handle = await open(temporary, 'wx');
      try {
        const counted = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
          for await (const chunk of chunks) {
            hash.update(chunk);
            sizeBytes += chunk.byteLength;
            yield chunk;
          }
        };
        const written = this.#vault ? this.#vault.cipher.encrypt(counted()) : counted();
        for await (const chunk of written) await handle.writeFile(chunk);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await chmod(temporary, 0o444);
      const digest: Digest = `sha256:${hash.digest('hex')}`;
      await this.#rename(temporary, this.#vault ? this.#sealedPath(digest) : this.#plainPath(digest));
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

function failSealed(digest: Digest): never {
  return fail('CONFIG_INVALID', `blob ${digest} is encrypted: set ESPALIER_ENCRYPTION_KEY`);
}

/** The file is opened when the first chunk is asked for: a stream that fails while nobody listens would end the process. */
async function* chunksOf(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  yield* createReadStream(path, { highWaterMark: READ_BYTES }) as AsyncIterable<Uint8Array>;
}
