import type { Graph } from '../graph.ts';
import type { Tensor } from '../tensor.ts';
import { zeroedGradient } from './contribution.ts';

/** Root-mean-square normalisation of rows of width D = gain.length (Zhang and Sennrich, 2019). The gain may be trainable. */
export function rmsNorm(g: Graph, x: Tensor, gain: Tensor, epsilon: number): Tensor {
  const D = gain.data.length;
  const rows = x.data.length / D;
  const y = g.empty(x.shape);
  const rstd = g.empty([rows]);
  g.kernels.rmsNormForward(y.data, rstd.data, x.data, gain.data, epsilon, rows);
  g.record(y, [x, gain], [x, rstd], (dy) => {
    if (g.needsGradient(gain)) {
      const dGain = zeroedGradient(g, gain);
      for (let i = 0; i < dy.data.length; i++) {
        dGain[i % D] = dGain[i % D] + dy.data[i] * x.data[i] * rstd.data[Math.floor(i / D)];
      }
    }
    if (!g.needsGradient(x)) return;
    const dx = g.gradient(x);
    g.kernels.rmsNormBackward(dx.tensor.data, dy.data, x.data, rstd.data, gain.data, rows, dx.accumulate);
  });
  return y;
}
