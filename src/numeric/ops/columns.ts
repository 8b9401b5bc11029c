import { assert } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { Floats } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';
import { zeroedGradient } from './contribution.ts';

/** y_TC = x_TC ⊙ factor_C, a factor a column. Both may be trainable; the factor's shape is its own, its values count. */
export function multiplyColumns(g: Graph, x: Tensor, factor: Tensor): Tensor {
  const C = factor.data.length;
  assert(x.shape[1] === C, 'there is a factor for each column');
  const y = g.empty(x.shape);
  for (let i = 0; i < x.data.length; i++) y.data[i] = x.data[i] * factor.data[i % C];
  const saved = g.needsGradient(factor) ? [x, factor] : [factor];
  g.record(y, [x, factor], saved, (dy) => {
    if (g.needsGradient(factor)) addColumnSums(zeroedGradient(g, factor), dy.data, (i) => x.data[i]);
    if (!g.needsGradient(x)) return;
    const dx = zeroedGradient(g, x);
    for (let i = 0; i < dx.length; i++) dx[i] = dx[i] + dy.data[i] * factor.data[i % C];
  });
  return y;
}

/**
 * y_TC = x_TC ⊙ factor_C + bias_C ⊙ (1 − factor_C): a layer's output is scaled, the bias that is already in it is not. Only x and the
 * factor have gradients.
 */
export function scaleAround(g: Graph, x: Tensor, factor: Tensor, bias?: Tensor): Tensor {
  const C = factor.data.length;
  assert(x.shape[1] === C, 'there is a factor for each column');
  const y = g.empty(x.shape);
  const kept = bias && factor.data.map((value, c) => bias.data[c] * (1 - value));
  for (let i = 0; i < x.data.length; i++) {
    const scaled = x.data[i] * factor.data[i % C];
    y.data[i] = kept ? scaled + kept[i % C] : scaled;
  }
  g.record(y, [x, factor], [x, factor], (dy) => {
    if (g.needsGradient(factor)) {
      addColumnSums(zeroedGradient(g, factor), dy.data, (i) => x.data[i] - (bias ? bias.data[i % C] : 0));
    }
    if (!g.needsGradient(x)) return;
    const dx = zeroedGradient(g, x);
    for (let i = 0; i < dx.length; i++) dx[i] = dx[i] + dy.data[i] * factor.data[i % C];
  });
  return y;
}

/** y_TC += scale · bias_C, in place on y. */
export function addColumns(g: Graph, y: Tensor, bias: Tensor, scale: number): void {
  const C = bias.data.length;
  assert(y.shape[1] === C, 'there is a bias for each column');
  const scaled = bias.data.map((value) => scale * value);
  for (let i = 0; i < y.data.length; i++) y.data[i] = y.data[i] + scaled[i % C];
  g.record(y, [y, bias], [], (dy) => {
    if (g.needsGradient(bias)) addColumnSums(zeroedGradient(g, bias), dy.data, () => scale);
  });
}

/** sums_C += Σ_t dy_TC · weightOf(t·C + c), rows in rising order. */
function addColumnSums(sums: Floats, dy: Floats, weightOf: (i: number) => number): void {
  for (let i = 0; i < dy.length; i++) sums[i % sums.length] = sums[i % sums.length] + dy[i] * weightOf(i);
}
