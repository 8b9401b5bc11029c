import { assert } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import { sizeOf, type Tensor } from '../tensor.ts';
import { zeroedGradient } from './contribution.ts';

/**
 * The numbers of `x` at other places: y[i] = x[sources[i]] in a tensor of this shape. A number may come several times, or never: so this is
 * every transposition, repetition and selection.
 */
export function rearrange(g: Graph, x: Tensor, sources: Int32Array, shape: readonly number[]): Tensor {
  assert(sources.length === sizeOf(shape), 'there is a source for each number');
  const y = g.empty(shape);
  for (let i = 0; i < sources.length; i++) y.data[i] = x.data[sources[i]];
  g.record(y, [x], [], (dy) => {
    const dx = zeroedGradient(g, x);
    for (let i = 0; i < sources.length; i++) dx[sources[i]] = dx[sources[i]] + dy.data[i];
  });
  return y;
}

/** The sources of x_MNᵀ, [N, M]. */
function transposedSources(M: number, N: number): Int32Array {
  return Int32Array.from({ length: M * N }, (_, i) => (i % M) * N + Math.floor(i / M));
}

/** x_MNᵀ, [N, M] */
export function transpose(g: Graph, x: Tensor): Tensor {
  const [M, N] = x.shape as [number, number];
  return rearrange(g, x, transposedSources(M, N), [N, M]);
}
