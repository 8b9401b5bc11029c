/** Bounds on what was counted, by which a rule decides while the counts still grow. */

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Wilson's score interval of a proportion (Wilson, 1927). Nothing counted: from 0 to 1. */
export function wilson(numHits: number, count: number, z: number): Interval {
  if (count === 0) return { low: 0, high: 1 };
  const p = numHits / count;
  const z2 = z * z;
  const centre = p + z2 / (2 * count);
  const spread = z * Math.sqrt((p * (1 - p)) / count + z2 / (4 * count * count));
  const scale = 1 + z2 / count;
  return { low: Math.max(0, (centre - spread) / scale), high: Math.min(1, (centre + spread) / scale) };
}

/**
 * The least that proportion `a` is above proportion `b`: the lower end of Newcombe's hybrid score interval of a difference (Newcombe, 1998,
 * method 10).
 */
export function leastDifference(
  a: { readonly hits: number; readonly count: number },
  b: { readonly hits: number; readonly count: number },
  z: number,
): number {
  const [pa, pb] = [a.hits / Math.max(1, a.count), b.hits / Math.max(1, b.count)];
  const { low } = wilson(a.hits, a.count, z);
  const { high } = wilson(b.hits, b.count, z);
  return pa - pb - Math.hypot(pa - low, high - pb);
}

/** What is known of a quantity from its count, its sum and the sum of its squares. */
export interface Moments {
  readonly count: number;
  readonly sum: number;
  readonly sumOfSquares: number;
}

export function meanOf({ count, sum }: Moments): number {
  return sum / count;
}

/** Of the mean, squared: the sample's variance over its size. */
export function squaredErrorOf({ count, sum, sumOfSquares }: Moments): number {
  if (count < 2) return Infinity;
  return Math.max(0, sumOfSquares - (sum * sum) / count) / (count - 1) / count;
}

/** The least that the mean of `a` is above that of `b`, where their variances may differ (Welch, 1938), by the normal approximation. */
export function leastMeanDifference(a: Moments, b: Moments, z: number): number {
  return meanOf(a) - meanOf(b) - z * Math.sqrt(squaredErrorOf(a) + squaredErrorOf(b));
}
