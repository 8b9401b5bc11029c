import type { Graph } from '../graph.ts';
import type { Tensor } from '../tensor.ts';
import { zeroedGradient } from './contribution.ts';

export type Activation = 'relu' | 'tanh' | 'sigmoid';

const FUNCTIONS: Readonly<Record<Activation, (x: number) => number>> = {
  relu: (x) => Math.max(0, x),
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
};

/** The derivatives, by the outputs. */
const SLOPES: Readonly<Record<Activation, (y: number) => number>> = {
  relu: (y) => (y > 0 ? 1 : 0),
  tanh: (y) => 1 - y * y,
  sigmoid: (y) => y * (1 - y),
};

/** y = f(x), element by element: for the small networks that make an adapter's parameters, not for rows of a batch. */
export function activate(g: Graph, x: Tensor, activation: Activation): Tensor {
  const [apply, slope] = [FUNCTIONS[activation], SLOPES[activation]];
  const y = g.empty(x.shape);
  for (let i = 0; i < y.data.length; i++) y.data[i] = apply(x.data[i]);
  // The input is kept, not the output: whoever reads the output may change it in place.
  g.record(y, [x], [x], (dy) => {
    const dx = zeroedGradient(g, x);
    for (let i = 0; i < dx.length; i++) dx[i] = dx[i] + dy.data[i] * slope(apply(x.data[i]));
  });
  return y;
}
