/** Events older than this count for less than half. */
const MEMORY_MS = 10_000;
/** As long as many answers: those that end together do not show, though as many begin then. */
const STEADY_MEMORY_MS = 60_000;

/** How often something happens, over the last seconds: counts and time fade together, so bursts and silence both show. */
export class RateMeter {
  readonly #memoryMs: number;
  #count = 0;
  #spanMs = 0;
  #lastMs: number;

  constructor(nowMs: number, memoryMs = MEMORY_MS) {
    this.#lastMs = nowMs;
    this.#memoryMs = memoryMs;
  }

  tick(nowMs: number): void {
    this.#fade(nowMs);
    this.#count++;
  }

  /** Milliseconds from one event to the next, on average; undefined before the first. */
  gapMs(nowMs: number): number | undefined {
    this.#fade(nowMs);
    return this.#count > 0 ? this.#spanMs / this.#count : undefined;
  }

  /** The time until now is not looked at. */
  skipTo(nowMs: number): void {
    this.#lastMs = nowMs;
  }

  #fade(nowMs: number): void {
    const elapsedMs = nowMs - this.#lastMs;
    const kept = Math.exp(-elapsedMs / this.#memoryMs);
    this.#count *= kept;
    this.#spanMs = this.#spanMs * kept + elapsedMs;
    this.#lastMs = nowMs;
  }
}

/**
 * How fast requests begin while some wait: now, by which a request is let in or refused, and over a minute, by which a client is told when to come
 * back. The first sees a change soon, the second does not swing with those who happen to begin together.
 */
export class Pace {
  #now: RateMeter;
  readonly #steady: RateMeter;

  constructor(nowMs: number) {
    this.#now = new RateMeter(nowMs);
    this.#steady = new RateMeter(nowMs, STEADY_MEMORY_MS);
  }

  /** The first one waits again: what is known of now is of another time. */
  resume(nowMs: number): void {
    this.#now = new RateMeter(nowMs);
    this.#steady.skipTo(nowMs);
  }

  tick(nowMs: number): void {
    this.#now.tick(nowMs);
    this.#steady.tick(nowMs);
  }

  /** Milliseconds from one beginning to the next; undefined: nothing is known. */
  gapMs(nowMs: number, span: PaceSpan): number | undefined {
    return span === 'now' ? this.#now.gapMs(nowMs) : this.#steady.gapMs(nowMs);
  }
}

export type PaceSpan = 'now' | 'minute';
