/** Events older than this count for less than half. */
const MEMORY_MS = 10_000;

/** How often something happens, over the last seconds: counts and time fade together, so bursts and silence both show. */
export class RateMeter {
  #count = 0;
  #spanMs = 0;
  #lastMs: number;

  constructor(nowMs: number) {
    this.#lastMs = nowMs;
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

  #fade(nowMs: number): void {
    const elapsedMs = nowMs - this.#lastMs;
    const kept = Math.exp(-elapsedMs / MEMORY_MS);
    this.#count *= kept;
    this.#spanMs = this.#spanMs * kept + elapsedMs;
    this.#lastMs = nowMs;
  }
}
