import { assert } from '../base/index.ts';
import type { Floats } from './kernels.ts';
import { Slab } from './slab.ts';

export type Precision = 'f32' | 'f64';

/** Slabs that nothing of the last so many steps was in are let go. */
const IDLE_STEPS = 4;

/** The least that is asked of the system at once. What of it has never been lent is not resident. */
const SLAB_BYTES = 8 * 2 ** 20;

/** A slab has room for so many buffers of the size that it was made for. */
const BUFFERS_A_SLAB = 4;

/**
 * Reusable buffers for activations and gradients, so that a step allocates nothing after the first and memory has a bound that does not wait for the
 * garbage collector. Buffers are cut out of a few large slabs: a step of another size cuts them otherwise, so that steps of many sizes together
 * hold what the largest of them needs. (A list of free buffers for each size held 736 MiB after two steps of which none needed more than 349.)
 */
export class BufferPool {
  readonly precision: Precision;
  readonly #slabs: Slab[] = [];
  readonly #slabOf = new WeakMap<ArrayBufferLike, Slab>();
  #step = 0;
  #peakBytes = 0;

  constructor(precision: Precision = 'f32') {
    this.precision = precision;
  }

  /** Bytes that have been lent at some time and are still held: what of the pool is resident. */
  get bytes(): number {
    return this.#slabs.reduce((sum, { touchedBytes }) => sum + touchedBytes, 0);
  }

  get peakBytes(): number {
    return Math.max(this.#peakBytes, this.bytes);
  }

  /** `length` values that hold anything. */
  take(length: number): Floats {
    const size = length * (this.precision === 'f32' ? 4 : 8);
    // The earliest slab with room, so that the last ones become idle when steps become smaller.
    for (const slab of this.#slabs) {
      const offset = slab.lend(size, this.#step);
      if (offset !== undefined) return this.#view(slab, offset, length);
    }
    const slab = new Slab(Math.max(SLAB_BYTES, BUFFERS_A_SLAB * size));
    this.#slabs.push(slab);
    this.#slabOf.set(slab.buffer, slab);
    const offset = slab.lend(size, this.#step);
    assert(offset !== undefined, 'a new slab has room for what it was made for');
    return this.#view(slab, offset, length);
  }

  give(values: Floats): void {
    const slab = this.#slabOf.get(values.buffer);
    if (!slab?.takeBack(values.byteOffset)) throw new Error('a buffer was given back that the pool never lent');
  }

  /** Marks the end of a step: slabs that were not used lately are freed. */
  endStep(): void {
    this.#step++;
    this.#peakBytes = this.peakBytes;
    for (let index = this.#slabs.length - 1; index >= 0; index--) {
      const slab = this.#slabs[index];
      if (slab.isEmpty && this.#step - slab.lastUsed > IDLE_STEPS) this.#slabs.splice(index, 1);
    }
  }

  #view({ buffer }: Slab, offset: number, length: number): Floats {
    return this.precision === 'f32'
      ? new Float32Array(buffer, offset, length)
      : new Float64Array(buffer, offset, length);
  }
}
