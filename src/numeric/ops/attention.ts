import { assert } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { AttentionShape, Floats } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';

/** Rotates x [T, heads·E] in place by its rows' positions (Su et al., 2021). The way back is the inverse rotation. */
export function rotate(g: Graph, x: Tensor, positions_T: Int32Array, cosSin: Floats, headWidth: number): void {
  const T = x.shape[0];
  const heads = x.shape[1] / headWidth;
  g.kernels.rope(x.data, positions_T, cosSin, T, heads, headWidth, false);
  g.record(x, [x], [], (dx) => g.kernels.rope(dx.data, positions_T, cosSin, T, heads, headWidth, true));
}

/** Causal attention of packed segments. q is [T, H·E], k and v are [T, G·E]. Keeps q, k, v, the output and one number a row and head. */
export function packedAttention(
  g: Graph,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  segmentStarts_T: Int32Array,
  shape: AttentionShape,
): Tensor {
  const out = g.empty(q.shape);
  const lse = g.empty([shape.T, shape.H]);
  g.kernels.attentionForward(out.data, lse.data, q.data, k.data, v.data, segmentStarts_T, shape);
  g.record(out, [q, k, v], [q, k, v, out, lse], (dout) => {
    const inputs = [q, k, v];
    const [dq, dk, dv] = inputs.map((input) => gradientOf(g, input));
    g.kernels.attentionBackward(
      dq.data,
      dk.data,
      dv.data,
      dout.data,
      out.data,
      lse.data,
      q.data,
      k.data,
      v.data,
      segmentStarts_T,
      shape,
    );
    for (const [index, gradient] of [dq, dk, dv].entries()) {
      if (!g.needsGradient(inputs[index])) g.release(gradient);
    }
  });
  return out;
}

/** The kernel writes all three gradients; one that nobody needs (adapters on q and v alone: k of the first layer) goes to a buffer. */
function gradientOf(g: Graph, input: Tensor): Tensor {
  if (!g.needsGradient(input)) return g.empty(input.shape);
  const { tensor, accumulate } = g.gradient(input);
  assert(!accumulate, 'attention is the only reader of q, k and v');
  return tensor;
}
