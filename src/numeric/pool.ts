import type { Floats } from './kernels.ts';
import { Slab } from './slab.ts';

export type Precision = 'f32' | 'f64';

/** Slabs that no step has used for this long are let go. */
const IDLE_STEPS = 4;

/** Every buffer begins on a cache line of its slab. */
const ALIGNMENT = 64;

/** The first slab is small, each further one twice as long: what works with little holds little. */
const FIRST_SLAB_BYTES = 1 << 20;
const LONGEST_SLAB_BYTES = 32 << 20;

/**
 * Reusable buffers for activations and gradients, so that a step allocates nothing after the first and memory has a bound
 * that does not wait for the garbage collector. Buffers are cut out of slabs, each from the smallest gap that holds it, and gaps that meet become
 * one: steps of any sizes share the same bytes, and all of them together hold little more than the largest one needs.
 */
export class BufferPool {
  readonly precision: Precision;
  readonly #slabs = new Map<ArrayBufferLike, Slab>();
  #step = 0;
  #bytes = 0;
  #lentBytes = 0;
  #peakLentBytes = 0;

  constructor(precision: Precision = 'f32') {
    this.precision = precision;
  }

  /** Bytes of all slabs, in use or free. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The most bytes that were in use at once. */
  get peakLentBytes(): number {
    return this.#peakLentBytes;
  }

  /** `length` values that hold anything. */
  take(length: number): Floats {
    const Values = this.precision === 'f32' ? Float32Array : Float64Array;
    const numBytes = ALIGNMENT * Math.max(1, Math.ceil((length * Values.BYTES_PER_ELEMENT) / ALIGNMENT));
    const slab = this.#slabFor(numBytes);
    slab.lastUsed = this.#step;
    this.#lentBytes += numBytes;
    this.#peakLentBytes = Math.max(this.#peakLentBytes, this.#lentBytes);
    return new Values(slab.buffer, slab.take(numBytes), length);
  }

  /** The slab with the smallest gap that is long enough; a new one if there is none. */
  #slabFor(numBytes: number): Slab {
    let best: Slab | undefined;
    let bestGap = Infinity;
    for (const slab of this.#slabs.values()) {
      const gap = slab.gapFor(numBytes);
      if (gap === undefined || gap >= bestGap) continue;
      [best, bestGap] = [slab, gap];
    }
    if (best) return best;
    const made = new Slab(Math.max(numBytes, Math.min(FIRST_SLAB_BYTES * 2 ** this.#slabs.size, LONGEST_SLAB_BYTES)));
    this.#slabs.set(made.buffer, made);
    this.#bytes += made.buffer.byteLength;
    return made;
  }

  give(values: Floats): void {
    const numBytes = this.#slabs.get(values.buffer)?.give(values.byteOffset);
    if (numBytes === undefined) throw new Error('a buffer was given back that the pool never lent');
    this.#lentBytes -= numBytes;
  }

  /** Marks the end of a step: slabs that were not used lately are freed. */
  endStep(): void {
    this.#step++;
    for (const slab of this.#slabs.values()) {
      if (!slab.isFree || this.#step - slab.lastUsed <= IDLE_STEPS) continue;
      this.#bytes -= slab.buffer.byteLength;
      this.#slabs.delete(slab.buffer);
    }
  }
}
