/** Matrices that are made of trainable parameters, and applied as the weights of a layer. All are row-major. */
import { assert } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { Tensor } from '../tensor.ts';
import { zeroedGradient } from './contribution.ts';

/** a_MK · b_KN */
export function matmul(g: Graph, a: Tensor, b: Tensor): Tensor {
  const [M, K] = a.shape as [number, number];
  const N = b.shape[1];
  assert(b.shape[0] === K, 'the factors of a product fit');
  const c = g.empty([M, N]);
  g.kernels.gemm(c.data, a.data, b.data, { M, N, K });
  g.record(c, [a, b], [a, b], (dc) => {
    if (g.needsGradient(a)) {
      const { tensor, accumulate } = g.gradient(a);
      g.kernels.gemm(tensor.data, dc.data, b.data, { M, N: K, K: N, transposeB: true, accumulate });
    }
    if (g.needsGradient(b)) {
      const { tensor, accumulate } = g.gradient(b);
      g.kernels.gemm(tensor.data, a.data, dc.data, { M: K, N, K: M, transposeA: true, accumulate });
    }
  });
  return c;
}

/** a ⊙ b, of one shape (Hadamard). */
export function multiply(g: Graph, a: Tensor, b: Tensor): Tensor {
  assert(a.data.length === b.data.length, 'both sides of a product have one size');
  const c = g.empty(a.shape);
  for (let i = 0; i < c.data.length; i++) c.data[i] = a.data[i] * b.data[i];
  g.record(c, [a, b], [a, b], (dc) => {
    for (const [x, other] of [
      [a, b],
      [b, a],
    ]) {
      if (!g.needsGradient(x)) continue;
      const dx = zeroedGradient(g, x);
      for (let i = 0; i < dx.length; i++) dx[i] = dx[i] + dc.data[i] * other.data[i];
    }
  });
  return c;
}

/** left_AC ⊗ right_BD, [A·B, C·D]: element (a·B + b, c·D + d) is left[a, c] · right[b, d]. */
export function kronecker(g: Graph, left: Tensor, right: Tensor): Tensor {
  const [A, C] = left.shape as [number, number];
  const [B, D] = right.shape as [number, number];
  const product = g.empty([A * B, C * D]);
  const visit = (body: (at: number, l: number, r: number) => void): void => {
    for (let row = 0; row < A * B; row++) {
      const [ofLeft, ofRight] = [Math.floor(row / B) * C, (row % B) * D];
      for (let c = 0; c < C; c++) {
        for (let d = 0; d < D; d++) body((row * C + c) * D + d, ofLeft + c, ofRight + d);
      }
    }
  };
  visit((at, l, r) => (product.data[at] = left.data[l] * right.data[r]));
  g.record(product, [left, right], [left, right], (dy) => {
    if (g.needsGradient(left)) {
      const dl = zeroedGradient(g, left);
      visit((at, l, r) => (dl[l] = dl[l] + dy.data[at] * right.data[r]));
    }
    if (g.needsGradient(right)) {
      const dr = zeroedGradient(g, right);
      visit((at, l, r) => (dr[r] = dr[r] + dy.data[at] * left.data[l]));
    }
  });
  return product;
}

/** y_TO = x_TI · Wᵀ with a W_OI that may be trainable. */
export function denseLinear(g: Graph, x: Tensor, w_OI: Tensor): Tensor {
  const y = g.empty([x.shape[0], w_OI.shape[0]]);
  y.data.fill(0);
  addDenseDelta(g, y, x, w_OI, 1);
  return y;
}

/** y_TO += scale · x_TI · Wᵀ, in place on y, with a W_OI that may be trainable. */
export function addDenseDelta(g: Graph, y: Tensor, x: Tensor, w_OI: Tensor, scale: number): void {
  const [T, I] = x.shape as [number, number];
  const O = y.shape[1];
  assert(w_OI.shape[0] === O && w_OI.shape[1] === I, 'the delta fits its site');
  const { kernels } = g;
  kernels.gemm(y.data, x.data, w_OI.data, { M: T, N: O, K: I, transposeB: true, alpha: scale, accumulate: true });
  const saved = g.needsGradient(w_OI) ? [x, w_OI] : [w_OI];
  g.record(y, [y, x, w_OI], saved, (dy) => {
    if (g.needsGradient(w_OI)) {
      const { tensor, accumulate } = g.gradient(w_OI);
      kernels.gemm(tensor.data, dy.data, x.data, { M: O, N: I, K: T, transposeA: true, alpha: scale, accumulate });
    }
    if (g.needsGradient(x)) {
      const { tensor, accumulate } = g.gradient(x);
      kernels.gemm(tensor.data, dy.data, w_OI.data, { M: T, N: I, K: O, alpha: scale, accumulate });
    }
  });
}
