/** A linear layer with a frozen weight W_OI: T rows, I inputs, O outputs. */
import type { Floats, FrozenMatrix } from '../kernels.ts';
import { valuesOf } from './frozen-matrix.ts';
import { requireLength } from './lengths.ts';

/** y_TO (+)= x_TI · Wᵀ */
export function linearForward(y_TO: Floats, x_TI: Floats, weight: FrozenMatrix, T: number, accumulate: boolean): void {
  const { out: O, in: I } = weight;
  const w_OI = valuesOf(weight);
  requireLength('y', y_TO, T * O);
  requireLength('x', x_TI, T * I);
  for (let t = 0; t < T; t++) {
    for (let o = 0; o < O; o++) {
      let sum = accumulate ? y_TO[t * O + o] : 0;
      for (let i = 0; i < I; i++) sum += x_TI[t * I + i] * w_OI[o * I + i];
      y_TO[t * O + o] = sum;
    }
  }
}

/** dx_TI (+)= dy_TO · W */
export function linearBackward(
  dx_TI: Floats,
  dy_TO: Floats,
  weight: FrozenMatrix,
  T: number,
  accumulate: boolean,
): void {
  const { out: O, in: I } = weight;
  const w_OI = valuesOf(weight);
  requireLength('dx', dx_TI, T * I);
  requireLength('dy', dy_TO, T * O);
  for (let t = 0; t < T; t++) {
    for (let i = 0; i < I; i++) {
      let sum = accumulate ? dx_TI[t * I + i] : 0;
      for (let o = 0; o < O; o++) sum += dy_TO[t * O + o] * w_OI[o * I + i];
      dx_TI[t * I + i] = sum;
    }
  }
}
