/** Units of a token: with milliseconds and whole tokens per minute everything is a whole number, so nothing is ever rounded. */
const UNITS = 60_000;

/** A budget as its owner sees it. */
export interface BudgetState {
  /** A minute's worth: also the most that can be taken at once. */
  readonly limit: number;
  /** Whole tokens that can be taken now. */
  readonly remaining: number;
  /** Milliseconds until all of the limit is there again. */
  readonly resetMs: number;
}

/**
 * A token bucket that holds a minute's worth and is filled evenly (the leaky bucket as a meter, ITU-T I.371): over any span of time of t
 * minutes at most (t + 1) · limit are taken. What is kept is what has been taken and not flowed back yet, so a limit can change at any time
 * and what was taken stays taken.
 */
export class TokenBucket {
  #taken = 0;
  #atMs: number;

  /** @param nowMs of a monotonic clock, as in all methods; parts of a millisecond do not count */
  constructor(nowMs: number) {
    this.#atMs = Math.floor(nowMs);
  }

  /**
   * Takes `count` tokens if they are there.
   * @param limit tokens per minute
   * @returns 0 when they were taken, else the milliseconds after which they would be there; Infinity for more than the limit
   */
  take(count: number, limit: number, nowMs: number): number {
    this.#flow(limit, nowMs);
    if (count > limit) return Infinity;
    const over = this.#taken + count * UNITS - limit * UNITS;
    if (over > 0) return Math.ceil(over / limit);
    this.#taken += count * UNITS;
    return 0;
  }

  /** Gives back what was taken and not used. */
  giveBack(count: number): void {
    this.#taken = Math.max(0, this.#taken - count * UNITS);
  }

  state(limit: number, nowMs: number): BudgetState {
    this.#flow(limit, nowMs);
    const remaining = Math.max(0, Math.floor((limit * UNITS - this.#taken) / UNITS));
    return { limit, remaining, resetMs: limit === 0 ? 0 : Math.ceil(this.#taken / limit) };
  }

  /** Whether it is as good as a new one. */
  isFull(limit: number, nowMs: number): boolean {
    this.#flow(limit, nowMs);
    return this.#taken === 0;
  }

  #flow(limit: number, nowMs: number): void {
    const now = Math.floor(nowMs);
    this.#taken = Math.max(0, this.#taken - limit * Math.max(0, now - this.#atMs));
    this.#atMs = Math.max(this.#atMs, now);
  }
}
