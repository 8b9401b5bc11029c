/** Root-mean-square normalisation (Zhang and Sennrich, 2019): T rows of width D. */
import type { Floats } from '../kernels.ts';
import { requireLength } from './lengths.ts';

/** y = x · rstd · gain, with rstd_T = 1/sqrt(mean(x²) + epsilon), which is written too. */
export function rmsNormForward(
  y_TD: Floats,
  rstd_T: Floats,
  x_TD: Floats,
  gain_D: Floats,
  epsilon: number,
  T: number,
): void {
  const D = gain_D.length;
  requireLength('y', y_TD, T * D);
  requireLength('rstd', rstd_T, T);
  requireLength('x', x_TD, T * D);
  for (let t = 0; t < T; t++) {
    let sumOfSquares = 0;
    for (let d = 0; d < D; d++) sumOfSquares += x_TD[t * D + d] ** 2;
    const rstd = 1 / Math.sqrt(sumOfSquares / D + epsilon);
    rstd_T[t] = rstd;
    for (let d = 0; d < D; d++) y_TD[t * D + d] = x_TD[t * D + d] * rstd * gain_D[d];
  }
}

/** With x̂ = x·rstd and g = dy·gain: dx (+)= rstd · (g − x̂ · mean(g · x̂)). The gain is frozen and gets no gradient. */
export function rmsNormBackward(
  dx_TD: Floats,
  dy_TD: Floats,
  x_TD: Floats,
  rstd_T: Floats,
  gain_D: Floats,
  T: number,
  accumulate: boolean,
): void {
  const D = gain_D.length;
  requireLength('dx', dx_TD, T * D);
  requireLength('dy', dy_TD, T * D);
  requireLength('x', x_TD, T * D);
  requireLength('rstd', rstd_T, T);
  for (let t = 0; t < T; t++) {
    const rstd = rstd_T[t];
    let sum = 0;
    for (let d = 0; d < D; d++) sum += dy_TD[t * D + d] * gain_D[d] * x_TD[t * D + d] * rstd;
    const mean = sum / D;
    for (let d = 0; d < D; d++) {
      const i = t * D + d;
      const dx = rstd * (dy_TD[i] * gain_D[d] - x_TD[i] * rstd * mean);
      dx_TD[i] = dx + (accumulate ? dx_TD[i] : 0);
    }
  }
}
