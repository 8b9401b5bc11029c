import { systemClock, type Clock } from '../base/index.ts';
import { formatSeconds } from './output.ts';

/** How fast long work goes, and how long it has still to go: from where it was first heard of to now. */
export class Pace {
  readonly #clock: Clock;
  #first: { readonly atMs: number; readonly value: number } | undefined;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** `3.2 examples/s, 12 s left`; without a rate while there is none. @param unit what is counted, or how so much of it in a second is told */
  note(value: number, total: number, unit: string | ((perSecond: number) => string)): string {
    const atMs = this.#clock.nowMs();
    this.#first ??= { atMs, value };
    const seconds = (atMs - this.#first.atMs) / 1000;
    const perSecond = (value - this.#first.value) / seconds;
    if (!(perSecond > 0 && Number.isFinite(perSecond))) return typeof unit === 'string' ? unit : '';
    const rate = typeof unit === 'string' ? `${rounded(perSecond)} ${unit}/s` : `${unit(perSecond)}/s`;
    return `${rate}, ${formatSeconds(Math.max(0, total - value) / perSecond)} left`;
  }
}

function rounded(perSecond: number): string {
  return perSecond < 10 ? perSecond.toFixed(1) : String(Math.round(perSecond));
}
