import { assert } from '../../base/index.ts';

/** The smallest value that at least a part `q` of them does not exceed (nearest rank). */
export function quantile(values: readonly number[], q: number): number {
  assert(values.length > 0, 'there is something to measure');
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))];
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}
