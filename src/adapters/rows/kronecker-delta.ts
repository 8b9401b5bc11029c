import { assert } from '../../base/index.ts';
import type { Graph, Tensor } from '../../numeric/index.ts';

/**
 * y += scale · kron(L, R) · x (LoKr: Yeh et al., 2024). With O = A·B outputs and I = C·D inputs: L is [A, C], R is [B, D] or a product
 * of [B, K] and [K, D]. A dense delta is the case A = C = 1.
 */
export interface KroneckerDelta {
  readonly kind: 'kronecker-delta';
  readonly left_AC: Tensor;
  readonly right: readonly [right_BD: Tensor] | readonly [right_BK: Tensor, right_KD: Tensor];
  readonly scale: number;
}

/** y += scale · Δ · x with a whole matrix: for what is no product of anything smaller. */
export function denseDelta(delta_OI: Tensor, scale: number): KroneckerDelta {
  const one = delta_OI.data.slice(0, 1).fill(1);
  return { kind: 'kronecker-delta', left_AC: { shape: [1, 1], data: one }, right: [delta_OI], scale };
}

/** Multiplications of {@link addKroneckerDelta} for a row. */
export function kroneckerCost({ left_AC, right }: KroneckerDelta): number {
  const [A, C] = left_AC.shape as [number, number];
  const B = right[0].shape[0];
  const ofRight = right.reduce((sum, factor) => sum + factor.data.length, 0);
  return C * ofRight + A * B * C;
}

/** y_TO += scale · x_TI · kron(L, R)ᵀ, in place on y. A row seen as a matrix X_CD gives Y_AB = L · X · Rᵀ. */
export function addKroneckerDelta(g: Graph, y: Tensor, x: Tensor, { left_AC, right, scale }: KroneckerDelta): void {
  const T = x.shape[0];
  const [A, C] = left_AC.shape as [number, number];
  const B = right[0].shape[0];
  const D = x.shape[1] / C;
  assert(y.shape[1] === A * B && right.at(-1)?.shape[1] === D, 'the delta fits its site');
  // T rows of C·D numbers are T·C rows of D.
  let u: Tensor = { shape: [T * C, D], data: x.data };
  for (const factor of right.toReversed()) {
    const [N, K] = factor.shape as [number, number];
    const product = g.empty([T * C, N]);
    g.kernels.gemm(product.data, u.data, factor.data, { M: T * C, N, K, transposeB: true });
    if (u.data !== x.data) g.release(u);
    u = product;
  }
  const shape = { M: A, N: B, K: C, alpha: scale, accumulate: true };
  for (let t = 0; t < T; t++) {
    const rows = u.data.subarray(t * C * B, (t + 1) * C * B);
    g.kernels.gemm(y.data.subarray(t * A * B, (t + 1) * A * B), left_AC.data, rows, shape);
  }
  g.release(u);
}
