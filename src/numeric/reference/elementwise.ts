/** Sums over whole arrays. */
import type { Floats } from '../kernels.ts';
import { requireLength } from './lengths.ts';

/** y += alpha · x */
export function axpy(y: Floats, x: Floats, alpha: number): void {
  requireLength('x', x, y.length);
  for (let i = 0; i < y.length; i++) y[i] += alpha * x[i];
}

/** Σ x², from the first element to the last. */
export function sumSquares(x: Floats): number {
  let sum = 0;
  for (const value of x) sum += value * value;
  return sum;
}

/** The first place of the highest number of each row of x [N, V]. */
export function argmaxRows(best_N: Int32Array, x_NV: Floats, N: number): void {
  requireLength('best', best_N, N);
  const V = x_NV.length / N;
  for (let n = 0; n < N; n++) {
    let best = 0;
    for (let v = 1; v < V; v++) if (x_NV[n * V + v] > x_NV[n * V + best]) best = v;
    best_N[n] = x_NV.subarray(n * V, (n + 1) * V).some((x) => Number.isNaN(x)) ? -1 : best;
  }
}
