import type { MetricSum } from './objectives/objective.ts';

/** Sums of an objective's figures over the batches of a step. */
export class MetricMeans {
  readonly #sums = new Map<string, { sum: number; count: number }>();

  add(metrics: Readonly<Record<string, MetricSum>>): void {
    for (const [name, { sum, count }] of Object.entries(metrics)) {
      const known = this.#sums.get(name) ?? { sum: 0, count: 0 };
      this.#sums.set(name, { sum: known.sum + sum, count: known.count + count });
    }
  }

  /** A figure that nothing was counted for is left out. */
  get means(): Record<string, number> {
    return Object.fromEntries(
      [...this.#sums].flatMap(([name, { sum, count }]) => (count === 0 ? [] : [[name, sum / count] as const])),
    );
  }
}
