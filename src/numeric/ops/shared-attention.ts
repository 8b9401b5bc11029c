import type { Graph } from '../graph.ts';
import type { AttentionShape } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';
import { wholeGradient } from './contribution.ts';
import { addRows, copyRows, placeRows } from './rows.ts';

/**
 * Rows that stand in several segments, such as a beginning that sequences have in common: computed once, and laid out for attention as if
 * each segment had its own. X laid-out rows of T rows.
 */
export interface SharedRows {
  /** The row that each laid-out row is. */
  readonly rows_X: Int32Array;
  /** The first place of each row. */
  readonly places_T: Int32Array;
}

/**
 * `packedAttention` where rows are shared: q is [T, H·E], k and v are [T, G·E], the segments are of the X laid-out rows, and so is `shape`.
 * A row attends from its first place. Each output has the bits that it has without sharing; a shared key's gradient is the sum over its
 * places, in their order.
 */
export function sharedAttention(
  g: Graph,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  segmentStarts_X: Int32Array,
  { rows_X, places_T }: SharedRows,
  shape: AttentionShape,
): Tensor {
  const { T: X, H } = shape;
  const T = places_T.length;
  const out = g.empty(q.shape);
  const lse = g.empty([T, H]);
  const layOut = (x: Tensor): Tensor => copyRows(g.empty([X, x.shape[1]]), x, rows_X);
  const withLaidOut = (tensors: readonly Tensor[], body: (laidOut: readonly Tensor[]) => void): void => {
    body(tensors);
    for (const tensor of tensors) g.release(tensor);
  };
  withLaidOut([q, k, v].map(layOut), ([q_X, k_X, v_X]) => {
    withLaidOut([g.empty(q_X.shape), g.empty([X, H])], ([out_X, lse_X]) => {
      g.kernels.attentionForward(out_X.data, lse_X.data, q_X.data, k_X.data, v_X.data, segmentStarts_X, shape);
      copyRows(out, out_X, places_T);
      copyRows(lse, lse_X, places_T);
    });
  });
  g.record(out, [q, k, v], [q, k, v, out, lse], (dout) => {
    withLaidOut([q, k, v, out, lse].map(layOut), ([q_X, k_X, v_X, out_X, lse_X]) => {
      const dout_X = g.empty(q_X.shape);
      // Only a row's first place has an output that somebody reads.
      dout_X.data.fill(0);
      placeRows(dout_X, dout, places_T);
      const gradients = [dout_X, g.empty(q_X.shape), g.empty(k_X.shape), g.empty(v_X.shape)];
      withLaidOut(gradients, ([, dq_X, dk_X, dv_X]) => {
        g.kernels.attentionBackward(
          dq_X.data,
          dk_X.data,
          dv_X.data,
          dout_X.data,
          out_X.data,
          lse_X.data,
          q_X.data,
          k_X.data,
          v_X.data,
          segmentStarts_X,
          shape,
        );
        copyRows({ shape: q.shape, data: wholeGradient(g, q) }, dq_X, places_T);
        sumRows(g, k, dk_X, rows_X);
        sumRows(g, v, dv_X, rows_X);
      });
    });
  });
  return out;
}

/** The gradient of x becomes the sum over the places of each of its rows. */
function sumRows(g: Graph, x: Tensor, gradient_X: Tensor, rows_X: Int32Array): void {
  const data = wholeGradient(g, x);
  data.fill(0);
  addRows(g.kernels, { shape: x.shape, data }, gradient_X, rows_X);
}
