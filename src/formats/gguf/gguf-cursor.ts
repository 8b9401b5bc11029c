import { fail } from '../../base/index.ts';
import type { ByteSource } from '../byte-source.ts';

/** Bytes that are read ahead: a header is read in a few pieces, whatever its length. */
const WINDOW_BYTES = 2 ** 20;

/** Reads a GGUF header from front to back. Every length is held against what is left of the file before anything is allocated. */
export class GgufCursor {
  readonly #source: ByteSource;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #window: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #view = new DataView(this.#window.buffer);
  /** Where the window begins in the file. */
  #windowStart = 0;
  #at = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Bytes from the file's beginning. */
  get offset(): number {
    return this.#windowStart + this.#at;
  }

  get remaining(): number {
    return this.#source.sizeBytes - this.offset;
  }

  u8(what: string): number {
    const at = this.#take(1, what);
    return this.#view.getUint8(at);
  }

  i8(what: string): number {
    const at = this.#take(1, what);
    return this.#view.getInt8(at);
  }

  u16(what: string): number {
    const at = this.#take(2, what);
    return this.#view.getUint16(at, true);
  }

  i16(what: string): number {
    const at = this.#take(2, what);
    return this.#view.getInt16(at, true);
  }

  u32(what: string): number {
    const at = this.#take(4, what);
    return this.#view.getUint32(at, true);
  }

  i32(what: string): number {
    const at = this.#take(4, what);
    return this.#view.getInt32(at, true);
  }

  f32(what: string): number {
    const at = this.#take(4, what);
    return this.#view.getFloat32(at, true);
  }

  f64(what: string): number {
    const at = this.#take(8, what);
    return this.#view.getFloat64(at, true);
  }

  u64(what: string): bigint {
    const at = this.#take(8, what);
    return this.#view.getBigUint64(at, true);
  }

  i64(what: string): bigint {
    const at = this.#take(8, what);
    return this.#view.getBigInt64(at, true);
  }

  /** A u64 that counts something: at most `max`. */
  count(max: number, what: string): number {
    const value = this.u64(what);
    if (value > BigInt(max)) this.fail(`${what} is ${value}, expected at most ${max}`);
    return Number(value);
  }

  /** A string: its length as u64, then strict UTF-8. */
  text(maxBytes: number, what: string): string {
    const length = this.u64(what);
    if (length > BigInt(this.remaining)) {
      this.fail(`${what} has a length of ${length} bytes, ${this.remaining} are left in the file`);
    }
    if (length > BigInt(maxBytes)) this.fail(`${what} has a length of ${length} bytes, expected at most ${maxBytes}`);
    const at = this.#take(Number(length), what);
    try {
      return this.#decoder.decode(this.#window.subarray(at, at + Number(length)));
    } catch (error) {
      return this.fail(`${what} is not UTF-8`, error);
    }
  }

  fail(message: string, cause?: unknown): never {
    fail('FILE_INVALID', `${this.#source.name}: ${message}`, { cause });
  }

  /** Makes the next `length` bytes lie in the window and steps over them. @returns where they begin in it */
  #take(length: number, what: string): number {
    if (length > this.remaining) {
      this.fail(
        `too short: the file ends at byte ${this.#source.sizeBytes}, in ${what} (${length} bytes at ${this.offset})`,
      );
    }
    if (this.#at + length > this.#window.length) {
      const start = this.offset;
      this.#window = this.#source.read(start, Math.min(Math.max(length, WINDOW_BYTES), this.remaining));
      this.#view = new DataView(this.#window.buffer);
      this.#windowStart = start;
      this.#at = 0;
    }
    const at = this.#at;
    this.#at += length;
    return at;
  }
}
