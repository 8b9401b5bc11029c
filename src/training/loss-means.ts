import { MetricMeans } from './metric-means.ts';
import type { BatchLoss } from './step.ts';

/** The losses of the batches of a step, or of an evaluation, as means over their targets. */
export class LossMeans {
  readonly #metrics = new MetricMeans();
  #lossSum = 0;
  #weightSum = 0;
  #numTop = 0;
  #numTargets = 0;

  add({ lossSum, weightSum, numTop, numTargets, metrics }: BatchLoss): void {
    this.#metrics.add(metrics);
    this.#lossSum += lossSum;
    this.#weightSum += weightSum;
    this.#numTop += numTop;
    this.#numTargets += numTargets;
  }

  /** What the sum of all gradients is divided by. */
  get weightSum(): number {
    return this.#weightSum;
  }

  /** NaN where nothing was to be predicted. */
  get means(): { readonly loss: number; readonly accuracy: number; readonly metrics: Record<string, number> } {
    return {
      loss: this.#lossSum / this.#weightSum,
      accuracy: this.#numTop / this.#numTargets,
      metrics: this.#metrics.means,
    };
  }
}
