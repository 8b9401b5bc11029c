/** The only file that reads time. A test passes its own {@link Clock}. */
export interface Clock {
  /** Milliseconds of a monotonic clock: for durations. */
  nowMs(): number;
  /** Milliseconds since 1970: for timestamps. */
  epochMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  epochMs: () => Date.now(),
};

/** OpenAI's `created`: whole seconds since 1970. */
export function epochSeconds(clock: Clock): number {
  return Math.floor(clock.epochMs() / 1000);
}
