/** Spare memory that is kept; more goes to the garbage collector. */
const MAX_SPARE_BYTES = 64 * 2 ** 20;

/**
 * Shared memory for packed adapters, used again. It cannot be freed: it goes when the collectors of all threads have found that nobody
 * holds it, and they do not count it, so an engine whose adapters come and go would grow by gigabytes before they look. Sizes are
 * rounded up by at most an eighth, so that what one adapter leaves fits the next of its kind.
 */
export class SharedMemory {
  readonly #spare = new Map<number, SharedArrayBuffer[]>();
  #spareBytes = 0;

  /** Zeroed memory of at least so many bytes. */
  readonly take = (sizeBytes: number): SharedArrayBuffer => {
    const size = roundUp(sizeBytes);
    const buffer = this.#spare.get(size)?.pop();
    if (!buffer) return new SharedArrayBuffer(size);
    this.#spareBytes -= size;
    new Uint8Array(buffer).fill(0);
    return buffer;
  };

  /** Takes memory back that nobody will read any more. */
  give(buffer: SharedArrayBuffer): void {
    const { byteLength } = buffer;
    if (byteLength !== roundUp(byteLength) || this.#spareBytes + byteLength > MAX_SPARE_BYTES) return;
    this.#spareBytes += byteLength;
    const spare = this.#spare.get(byteLength) ?? [];
    spare.push(buffer);
    this.#spare.set(byteLength, spare);
  }
}

/** To three binary digits after the first. */
function roundUp(sizeBytes: number): number {
  const unit = Math.max(64, 2 ** (Math.floor(Math.log2(Math.max(1, sizeBytes))) - 3));
  return Math.ceil(sizeBytes / unit) * unit;
}
