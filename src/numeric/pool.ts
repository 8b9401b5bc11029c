import type { Floats } from './kernels.ts';

export type Precision = 'f32' | 'f64';

/** Buffers of steps that have not been asked for this long are let go. */
const IDLE_STEPS = 4;

/** A free buffer may be so many times as long as what is asked for. */
const LONGEST_SUBSTITUTE = 1.5;

/**
 * Reusable buffers for activations and gradients, so that a step allocates nothing after the first and memory has a bound
 * that does not wait for the garbage collector. Lengths are rounded up to an eighth of their power of two: steps of slightly
 * different sizes share buffers, at most 12.5 % is wasted. Where no buffer of that length is free, one of up to half as much again will do, so that
 * micro-batches of many sizes hold little more than the largest of them needs.
 */
export class BufferPool {
  readonly precision: Precision;
  readonly #free = new Map<number, { buffers: Floats[]; lastUsed: number }>();
  readonly #capacities = new WeakMap<ArrayBufferLike, Floats>();
  #step = 0;
  #bytes = 0;
  #peakBytes = 0;

  constructor(precision: Precision = 'f32') {
    this.precision = precision;
  }

  /** Bytes of all buffers, in use or free. */
  get bytes(): number {
    return this.#bytes;
  }

  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** `length` values that hold anything. */
  take(length: number): Floats {
    const capacity = roundUp(length);
    let whole = this.#takeFree(capacity);
    if (!whole) {
      whole = this.precision === 'f32' ? new Float32Array(capacity) : new Float64Array(capacity);
      this.#capacities.set(whole.buffer, whole);
      this.#bytes += whole.byteLength;
      this.#peakBytes = Math.max(this.#peakBytes, this.#bytes);
    }
    return whole.subarray(0, length);
  }

  /** The smallest free buffer that is long enough and not too long. */
  #takeFree(capacity: number): Floats | undefined {
    for (let length = capacity; length <= LONGEST_SUBSTITUTE * capacity; length = roundUp(length + 1)) {
      const shelf = this.#free.get(length);
      const whole = shelf?.buffers.pop();
      if (!shelf || !whole) continue;
      shelf.lastUsed = this.#step;
      return whole;
    }
    return undefined;
  }

  give(values: Floats): void {
    const whole = this.#capacities.get(values.buffer);
    if (!whole) throw new Error('a buffer was given back that the pool never lent');
    let shelf = this.#free.get(whole.length);
    if (!shelf) this.#free.set(whole.length, (shelf = { buffers: [], lastUsed: this.#step }));
    shelf.lastUsed = this.#step;
    shelf.buffers.push(whole);
  }

  /** Marks the end of a step: buffers of sizes that were not used lately are freed. */
  endStep(): void {
    this.#step++;
    for (const [capacity, shelf] of this.#free) {
      if (this.#step - shelf.lastUsed <= IDLE_STEPS) continue;
      for (const buffer of shelf.buffers) this.#bytes -= buffer.byteLength;
      this.#free.delete(capacity);
    }
  }
}

function roundUp(length: number): number {
  const granule = Math.max(16, 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(1, length))) - 3));
  return Math.max(granule, Math.ceil(length / granule) * granule);
}
