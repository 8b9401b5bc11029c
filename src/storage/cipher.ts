import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import { open } from 'node:fs/promises';
import { assert, fail, newId } from '../base/index.ts';

/** `ESPCRYP1`, the key's id, the file's salt. */
const MAGIC = Buffer.from('ESPCRYP1');
const ID_BYTES = 8;
const SALT_BYTES = 16;
const HEADER_BYTES = MAGIC.length + ID_BYTES + SALT_BYTES;
/** Plain bytes of a chunk; the last one may have fewer, or none. */
const CHUNK_BYTES = 64 * 1024;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Files in AES-256-GCM, chunk by chunk, so that none has to be in memory as a whole. Each file has a key of its own (HKDF-SHA256 of the master key and
 * a random salt), so a chunk's number is nonce enough. The number and whether it is the last one are in the nonce: chunks that were moved, left out
 * or cut off at the end are found as changed ones are (the STREAM construction, Hoang, Reyhanitabar, Rogaway and Vizár 2015).
 */
export class FileCipher {
  readonly #keys: ReadonlyMap<string, Uint8Array>;
  /** Of the key that new files get: tells keys apart, and nothing about them. */
  readonly keyId: string;

  /** @param keys of 32 bytes; the first is for what is written, the others are for reading only */
  constructor(keys: readonly Uint8Array[]) {
    assert(keys.length > 0 && keys.every(({ length }) => length === KEY_BYTES), 'keys have 32 bytes');
    this.#keys = new Map(keys.map((key) => [idOf(key), key]));
    this.keyId = idOf(keys[0]);
  }

  knows(keyId: string): boolean {
    return this.#keys.has(keyId);
  }

  /** A file's bytes, header included, from its contents. */
  async *encrypt(chunks: Chunks): AsyncGenerator<Uint8Array, void, undefined> {
    // Its 24 characters have about 142 bits; what is random is made in base/ids.ts.
    const salt = createHash('sha256').update(newId('')).digest().subarray(0, SALT_BYTES);
    const header = Buffer.concat([MAGIC, Buffer.from(this.keyId, 'hex'), salt]);
    const key = this.#fileKey(this.keyId, salt);
    yield header;
    let number = 0;
    const seal = (bytes: Uint8Array, isLast: boolean): Buffer => {
      const cipher = createCipheriv('aes-256-gcm', key, nonceOf(number++, isLast)).setAAD(header);
      return Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
    };
    let pending = Buffer.alloc(0);
    for await (const chunk of chunks) {
      pending = Buffer.concat([pending, chunk]);
      // One byte more than a chunk: so it is not the last.
      while (pending.length > CHUNK_BYTES) {
        yield seal(pending.subarray(0, CHUNK_BYTES), false);
        pending = pending.subarray(CHUNK_BYTES);
      }
    }
    yield seal(pending, true);
  }

  /**
   * The contents of an encrypted file.
   * @throws STORAGE_CORRUPT it was changed or cut off; CONFIG_INVALID it has another key than these
   */
  async *decrypt(path: string): AsyncGenerator<Uint8Array, void, undefined> {
    const file = await open(path, 'r');
    try {
      const header = Buffer.alloc(HEADER_BYTES);
      const { bytesRead } = await file.read(header, 0, HEADER_BYTES);
      if (bytesRead < HEADER_BYTES || !header.subarray(0, MAGIC.length).equals(MAGIC)) failChanged(path);
      const key = this.#fileKey(
        header.subarray(MAGIC.length, MAGIC.length + ID_BYTES).toString('hex'),
        header.subarray(MAGIC.length + ID_BYTES),
        path,
      );
      const sealed = Buffer.alloc(CHUNK_BYTES + TAG_BYTES);
      const { size } = await file.stat();
      for (let number = 0, at = HEADER_BYTES, isLast = false; !isLast; number++) {
        const length = await readFully(file, sealed, at);
        at += length;
        isLast = at >= size;
        if (length < TAG_BYTES) failChanged(path);
        const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(number, isLast)).setAAD(header);
        decipher.setAuthTag(sealed.subarray(length - TAG_BYTES, length));
        const plain = decipher.update(sealed.subarray(0, length - TAG_BYTES));
        try {
          decipher.final();
        } catch {
          failChanged(path);
        }
        yield plain;
      }
    } finally {
      await file.close();
    }
  }

  /** The id of the key that a file has; undefined: it is no encrypted file. */
  static async keyIdOf(path: string): Promise<string | undefined> {
    const file = await open(path, 'r');
    try {
      const header = Buffer.alloc(HEADER_BYTES);
      const { bytesRead } = await file.read(header, 0, HEADER_BYTES);
      const isOne = bytesRead === HEADER_BYTES && header.subarray(0, MAGIC.length).equals(MAGIC);
      return isOne ? header.subarray(MAGIC.length, MAGIC.length + ID_BYTES).toString('hex') : undefined;
    } finally {
      await file.close();
    }
  }

  #fileKey(keyId: string, salt: Uint8Array, path = ''): Uint8Array {
    const master = this.#keys.get(keyId);
    if (!master) {
      const known = [...this.#keys.keys()].join(', ');
      return fail('CONFIG_INVALID', `${path} is encrypted with the key ${keyId}, ESPALIER_ENCRYPTION_KEY has ${known}`);
    }
    return new Uint8Array(hkdfSync('sha256', master, salt, 'espalier file', KEY_BYTES));
  }
}

function idOf(key: Uint8Array): string {
  return Buffer.from(hkdfSync('sha256', key, '', 'espalier key id', ID_BYTES)).toString('hex');
}

/** GCM's 12 bytes: seven zeros, whether it is the last, the number. */
function nonceOf(number: number, isLast: boolean): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt8(isLast ? 1 : 0, 7);
  nonce.writeUInt32BE(number, 8);
  return nonce;
}

async function readFully(file: Awaited<ReturnType<typeof open>>, into: Uint8Array, at: number): Promise<number> {
  let length = 0;
  while (length < into.length) {
    const { bytesRead } = await file.read(into, length, into.length - length, at + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}

function failChanged(path: string): never {
  return fail('STORAGE_CORRUPT', `${path} was changed, or was not encrypted by this program: restore it from a copy`);
}
