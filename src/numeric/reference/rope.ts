import type { Floats } from '../kernels.ts';
import { requireLength } from './lengths.ts';

/**
 * Rotates in place the pairs (x[i], x[i + E/2]) of every head by its row's angle (Su et al., 2021): T rows, H heads of width E.
 * `inverse` turns back, which is also the vjp: a rotation's transpose is its inverse.
 */
export function rope(
  x_THE: Floats,
  positions_T: Int32Array,
  cosSin: Floats,
  T: number,
  H: number,
  E: number,
  inverse: boolean,
): void {
  requireLength('x', x_THE, T * H * E);
  requireLength('positions', positions_T, T);
  const half = E / 2;
  for (let t = 0; t < T; t++) {
    const angles = positions_T[t] * E;
    for (let h = 0; h < H; h++) {
      const head = (t * H + h) * E;
      for (let i = 0; i < half; i++) {
        const cos = cosSin[angles + i];
        const sin = inverse ? -cosSin[angles + half + i] : cosSin[angles + half + i];
        const first = x_THE[head + i];
        const second = x_THE[head + half + i];
        x_THE[head + i] = first * cos - second * sin;
        x_THE[head + half + i] = second * cos + first * sin;
      }
    }
  }
}
