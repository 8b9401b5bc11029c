/** A stretch of a slab's bytes that nobody has. */
interface Gap {
  begin: number;
  end: number;
}

/** One allocation that buffers are cut out of. The system gives its pages when they are first written, so its unused end costs nothing. */
export class Slab {
  readonly buffer: ArrayBuffer;
  /** The step in which it last lent something; its owner's. */
  lastUsed = 0;
  /** Ordered, none touching the next. */
  readonly #gaps: Gap[];
  /** Lengths of what is lent, by where it begins. */
  readonly #lent = new Map<number, number>();

  constructor(numBytes: number) {
    this.buffer = new ArrayBuffer(numBytes);
    this.#gaps = [{ begin: 0, end: numBytes }];
  }

  get isFree(): boolean {
    return this.#lent.size === 0;
  }

  /** Length of the smallest gap that holds so many bytes. */
  gapFor(numBytes: number): number | undefined {
    const gap = this.#smallest(numBytes);
    return gap && gap.end - gap.begin;
  }

  /** Lends bytes out of the smallest gap that holds them; there must be one. @returns where they begin */
  take(numBytes: number): number {
    const gap = this.#smallest(numBytes);
    if (!gap) throw new Error('a slab lends no more than it has');
    const { begin } = gap;
    gap.begin += numBytes;
    if (gap.begin === gap.end) this.#gaps.splice(this.#gaps.indexOf(gap), 1);
    this.#lent.set(begin, numBytes);
    return begin;
  }

  /** Takes back what begins there. @returns its bytes; undefined if nothing that is lent begins there */
  give(begin: number): number | undefined {
    const numBytes = this.#lent.get(begin);
    if (numBytes === undefined) return undefined;
    this.#lent.delete(begin);
    const end = begin + numBytes;
    const next = this.#gaps.findIndex((gap) => gap.begin >= end);
    const after = next === -1 ? this.#gaps.length : next;
    const [left, right] = [this.#gaps.at(after - 1), this.#gaps.at(after)];
    const [touchesLeft, touchesRight] = [after > 0 && left?.end === begin, right?.begin === end];
    if (left && touchesLeft) {
      left.end = right && touchesRight ? right.end : end;
      if (touchesRight) this.#gaps.splice(after, 1);
    } else if (right && touchesRight) right.begin = begin;
    else this.#gaps.splice(after, 0, { begin, end });
    return numBytes;
  }

  #smallest(numBytes: number): Gap | undefined {
    let best: Gap | undefined;
    for (const gap of this.#gaps) {
      const length = gap.end - gap.begin;
      if (length >= numBytes && (!best || length < best.end - best.begin)) best = gap;
    }
    return best;
  }
}
