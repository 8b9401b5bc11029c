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
