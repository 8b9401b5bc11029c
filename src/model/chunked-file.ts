import { writeSync } from 'node:fs';

/** A multiple of the large page of every common processor. */
const CHUNK_BYTES = 8 * 2 ** 20;

/**
 * Writes a file from its beginning in chunks that begin at multiples of their size. A file system with large folios (Linux's ext4, xfs and btrfs)
 * then keeps it in large pages, which a mapping of it shares; written in small pieces it lies in small pages, of which the processor knows fewer
 * places (docs/decisions/0019 has the figures).
 */
export class ChunkedFile {
  readonly #file: number;
  readonly #chunk = Buffer.alloc(CHUNK_BYTES);
  #filled = 0;
  #written = 0;

  /** @param file open for writing, and empty */
  constructor(file: number) {
    this.#file = file;
  }

  write(bytes: Uint8Array): void {
    for (let begin = 0; begin < bytes.length;) {
      const count = Math.min(bytes.length - begin, CHUNK_BYTES - this.#filled);
      this.#chunk.set(bytes.subarray(begin, begin + count), this.#filled);
      this.#filled += count;
      begin += count;
      if (this.#filled === CHUNK_BYTES) this.#flush();
    }
  }

  /** Writes what is left; to be called once, at the end. */
  end(): void {
    this.#flush();
  }

  #flush(): void {
    // A system call may write less than it was asked to.
    for (let begin = 0; begin < this.#filled;) {
      const count = writeSync(this.#file, this.#chunk, begin, this.#filled - begin, this.#written);
      begin += count;
      this.#written += count;
    }
    this.#filled = 0;
  }
}
