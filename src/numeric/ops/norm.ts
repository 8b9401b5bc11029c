import type { Graph } from '../graph.ts';
import type { Tensor } from '../tensor.ts';

/** Root-mean-square normalisation of rows of width D = gain.length, with a frozen gain (Zhang and Sennrich, 2019). */
export function rmsNorm(g: Graph, x: Tensor, gain: Tensor, epsilon: number): Tensor {
  const rows = x.data.length / gain.data.length;
  const y = g.empty(x.shape);
  const rstd = g.empty([rows]);
  g.kernels.rmsNormForward(y.data, rstd.data, x.data, gain.data, epsilon, rows);
  g.record(y, [x], [x, rstd], (dy) => {
    const dx = g.gradient(x);
    g.kernels.rmsNormBackward(dx.tensor.data, dy.data, x.data, rstd.data, gain.data, rows, dx.accumulate);
  });
  return y;
}
