import { assert, broken } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { FrozenMatrix } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';

/** y_TO = x_TI · Wᵀ (+ bias_O) with a frozen W: the way back is dy · W, and nothing is saved for it. */
export function frozenLinear(g: Graph, x: Tensor, weight: FrozenMatrix, bias?: Tensor): Tensor {
  const T = x.shape[0];
  if (x.shape[1] !== weight.in) broken(`a linear layer of ${weight.in} inputs got ${x.shape[1]}`);
  const y = g.empty([T, weight.out]);
  if (bias) for (let t = 0; t < T; t++) y.data.set(bias.data, t * weight.out);
  g.kernels.linearForward(y.data, x.data, weight, T, bias !== undefined);
  g.record(y, [x], [], (dy) => {
    const dx = g.gradient(x);
    g.kernels.linearBackward(dx.tensor.data, dy.data, weight, T, dx.accumulate);
  });
  return y;
}

/**
 * y_TO += scale · (x_TI · Aᵀ_RI) · Bᵀ_OR, in place on y (Hu et al., 2021). A and B may be trainable. Costs R·(I+O) multiplications a
 * row; when training it keeps x·Aᵀ, and x where A is trained.
 */
export function addLowRankDelta(g: Graph, y: Tensor, x: Tensor, a_RI: Tensor, b_OR: Tensor, scale: number): void {
  const [T, I] = x.shape as [number, number];
  const O = y.shape[1];
  const R = a_RI.shape[0];
  assert(a_RI.shape[1] === I && b_OR.shape[0] === O && b_OR.shape[1] === R, 'the delta fits its site');
  const { kernels } = g;
  const u = g.empty([T, R]);
  kernels.gemm(u.data, x.data, a_RI.data, { M: T, N: R, K: I, transposeB: true });
  kernels.gemm(y.data, u.data, b_OR.data, { M: T, N: O, K: R, transposeB: true, alpha: scale, accumulate: true });
  // x is needed for A's gradient alone: with a frozen A nothing as wide as the model is kept.
  const saved = g.needsGradient(a_RI) ? [x, u, a_RI, b_OR] : [u, a_RI, b_OR];
  g.record(y, [y, x, a_RI, b_OR], saved, (dy) => {
    if (g.needsGradient(b_OR)) {
      const db = g.gradient(b_OR);
      const shape = { M: O, N: R, K: T, transposeA: true, alpha: scale, accumulate: db.accumulate };
      kernels.gemm(db.tensor.data, dy.data, u.data, shape);
    }
    // u has done its duty: its buffer takes du = scale · dy · B.
    kernels.gemm(u.data, dy.data, b_OR.data, { M: T, N: R, K: O, alpha: scale });
    if (g.needsGradient(a_RI)) {
      const da = g.gradient(a_RI);
      const shape = { M: R, N: I, K: T, transposeA: true, accumulate: da.accumulate };
      kernels.gemm(da.tensor.data, u.data, x.data, shape);
    }
    if (g.needsGradient(x)) {
      const dx = g.gradient(x);
      kernels.gemm(dx.tensor.data, u.data, a_RI.data, { M: T, N: I, K: R, accumulate: dx.accumulate });
    }
  });
}

/**
 * Collects the gradient that the weights of y_TO = x_TI · Wᵀ would have, for a parameter w_OI that stands for them and whose values nobody reads.
 * y stays as it is.
 */
export function observeGradient(g: Graph, y: Tensor, x: Tensor, w_OI: Tensor): void {
  const [T, I] = x.shape as [number, number];
  const O = y.shape[1];
  assert(w_OI.shape[0] === O && w_OI.shape[1] === I, 'the parameter has the shape of the weights');
  g.record(y, [y, x, w_OI], [x], (dy) => {
    const { tensor, accumulate } = g.gradient(w_OI);
    g.kernels.gemm(tensor.data, dy.data, x.data, { M: O, N: I, K: T, transposeA: true, accumulate });
  });
}
