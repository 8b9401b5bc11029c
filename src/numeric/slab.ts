import { largeMemory } from './large-memory.ts';

/** Lent pieces begin at multiples of a cache line. */
const ALIGNMENT = 64;

/** Bytes from `begin` to `end`. */
interface Extent {
  begin: number;
  end: number;
}

/** One allocation, of which pieces are lent and come back in any order. */
export class Slab {
  readonly buffer: ArrayBuffer;
  /** The step in which something of it was lent last. */
  lastUsed = 0;
  /** Up to where it has ever been lent. */
  touchedBytes = 0;
  /** In order, never two that touch. */
  readonly #free: Extent[];
  /** The end of each lent piece, by its beginning. */
  readonly #lent = new Map<number, number>();

  constructor(sizeBytes: number) {
    const end = aligned(sizeBytes);
    this.buffer = largeMemory(end);
    this.#free = [{ begin: 0, end }];
  }

  get isEmpty(): boolean {
    return this.#lent.size === 0;
  }

  /** Lends from the smallest free extent that is large enough. @returns where it begins; undefined when there is no room */
  lend(sizeBytes: number, step: number): number | undefined {
    // Nothing has a place too, so that it can be told from others when it comes back.
    const size = aligned(Math.max(1, sizeBytes));
    let best: Extent | undefined;
    for (const extent of this.#free) {
      const room = extent.end - extent.begin;
      if (room >= size && (best === undefined || room < best.end - best.begin)) best = extent;
    }
    if (best === undefined) return undefined;
    const { begin } = best;
    best.begin += size;
    if (best.begin === best.end) this.#free.splice(this.#free.indexOf(best), 1);
    this.#lent.set(begin, begin + size);
    this.lastUsed = step;
    this.touchedBytes = Math.max(this.touchedBytes, begin + size);
    return begin;
  }

  /** @returns false for what is not lent */
  takeBack(begin: number): boolean {
    const end = this.#lent.get(begin);
    if (end === undefined) return false;
    this.#lent.delete(begin);
    const found = this.#free.findIndex((extent) => extent.begin >= end);
    const index = found === -1 ? this.#free.length : found;
    const before = this.#free.at(index - 1);
    const after = this.#free.at(index);
    const joinsBefore = index > 0 && before?.end === begin;
    const joinsAfter = after?.begin === end;
    if (joinsBefore && joinsAfter) {
      before.end = after.end;
      this.#free.splice(index, 1);
    } else if (joinsBefore) before.end = end;
    else if (joinsAfter) after.begin = begin;
    else this.#free.splice(index, 0, { begin, end });
    return true;
  }
}

function aligned(sizeBytes: number): number {
  return Math.ceil(sizeBytes / ALIGNMENT) * ALIGNMENT;
}
