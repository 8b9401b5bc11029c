import type { Graph } from '../graph.ts';
import type { AttentionShape, Floats } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';
import { wholeGradient } from './contribution.ts';

/** Rotates x [T, heads·E] in place by its rows' positions (Su et al., 2021). The way back is the inverse rotation. */
export function rotate(g: Graph, x: Tensor, positions_T: Int32Array, cosSin: Floats, headWidth: number): void {
  const T = x.shape[0];
  const heads = x.shape[1] / headWidth;
  g.kernels.rope(x.data, positions_T, cosSin, T, heads, headWidth, false);
  g.record(x, [x], [], (dx) => g.kernels.rope(dx.data, positions_T, cosSin, T, heads, headWidth, true));
}

/**
 * Causal attention of packed segments. q is [T, H·E], k and v are [T, G·E]. Keeps q, k, v, the output and one number a row and head.
 * @param rows_X the row of each place, where segments begin with rows of earlier ones: see `Kernels.attentionForward`
 */
export function packedAttention(
  g: Graph,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  segmentStarts_X: Int32Array,
  shape: AttentionShape,
  rows_X?: Int32Array,
): Tensor {
  const out = g.empty(q.shape);
  const lse = g.empty([shape.T, shape.H]);
  g.kernels.attentionForward(out.data, lse.data, q.data, k.data, v.data, segmentStarts_X, shape, rows_X);
  g.record(out, [q, k, v], [q, k, v, out, lse], (dout) => {
    g.kernels.attentionBackward(
      wholeGradient(g, q),
      wholeGradient(g, k),
      wholeGradient(g, v),
      dout.data,
      out.data,
      lse.data,
      q.data,
      k.data,
      v.data,
      segmentStarts_X,
      shape,
      rows_X,
    );
  });
  return out;
}
