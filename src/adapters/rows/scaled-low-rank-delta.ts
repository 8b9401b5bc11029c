import { assert } from '../../base/index.ts';
import type { Graph, Tensor } from '../../numeric/index.ts';

/**
 * y += outer ⊙ (B · (inner ⊙ (A · x))): VeRA (Kopiczko et al., 2024). A and B are one pair for all of an adapter's sites, so what a site
 * holds of its own is two vectors.
 */
export interface ScaledLowRankDelta {
  readonly kind: 'scaled-low-rank-delta';
  readonly a_RI: Tensor;
  readonly b_OR: Tensor;
  readonly inner_R: Tensor;
  readonly outer_O: Tensor;
}

/** Adds the delta to y_TO, in place. Costs R·(I + O) multiplications a row. */
export function addScaledLowRankDelta(g: Graph, y: Tensor, x: Tensor, delta: ScaledLowRankDelta): void {
  const { a_RI, b_OR, inner_R, outer_O } = delta;
  const [T, I] = x.shape as [number, number];
  const [O, R] = b_OR.shape as [number, number];
  assert(a_RI.shape[0] === R && a_RI.shape[1] === I && y.shape[1] === O, 'the delta fits its site');
  const u = g.empty([T, R]);
  g.kernels.gemm(u.data, x.data, a_RI.data, { M: T, N: R, K: I, transposeB: true });
  for (let i = 0; i < u.data.length; i++) u.data[i] = u.data[i] * inner_R.data[i % R];
  const v = g.empty([T, O]);
  g.kernels.gemm(v.data, u.data, b_OR.data, { M: T, N: O, K: R, transposeB: true });
  for (let i = 0; i < v.data.length; i++) y.data[i] = y.data[i] + outer_O.data[i % O] * v.data[i];
  g.release(u);
  g.release(v);
}
