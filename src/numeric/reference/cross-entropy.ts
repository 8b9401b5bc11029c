import { assert } from '../../base/index.ts';
import type { Floats, FrozenMatrix } from '../kernels.ts';
import { valuesOf } from './frozen-matrix.ts';
import { requireLength } from './lengths.ts';

/**
 * losses_N = −log softmax(x_ND · Wᵀ)[target]; dx = weight · (softmax − onehot) · W, so forward and backward are one pass.
 * One row of V logits is held at a time.
 */
export function linearCrossEntropy(
  losses_N: Floats,
  dx_ND: Floats | null,
  isTop_N: Uint8Array | null,
  x_ND: Floats,
  weight_VD: FrozenMatrix,
  targets_N: Int32Array,
  weights_N: Floats,
  N: number,
): void {
  const { out: V, in: D } = weight_VD;
  const w_VD = valuesOf(weight_VD);
  requireLength('losses', losses_N, N);
  requireLength('x', x_ND, N * D);
  requireLength('targets', targets_N, N);
  requireLength('weights', weights_N, N);
  if (dx_ND) requireLength('dx', dx_ND, N * D);
  if (isTop_N) requireLength('isTop', isTop_N, N);
  const logits_V = new Float64Array(V);
  for (let n = 0; n < N; n++) {
    const target = targets_N[n];
    assert(target >= 0 && target < V, `target ${target} of a vocabulary of ${V}`);
    let highest = -Infinity;
    for (let v = 0; v < V; v++) {
      let logit = 0;
      for (let d = 0; d < D; d++) logit += x_ND[n * D + d] * w_VD[v * D + d];
      logits_V[v] = logit;
      highest = Math.max(highest, logit);
    }
    let total = 0;
    for (const logit of logits_V) total += Math.exp(logit - highest);
    losses_N[n] = highest - logits_V[target] + Math.log(total);
    if (isTop_N) isTop_N[n] = logits_V[target] === highest ? 1 : 0;
    if (!dx_ND) continue;
    const dx_D = new Float64Array(D);
    for (let v = 0; v < V; v++) {
      const probability = Math.exp(logits_V[v] - highest) / total;
      const dlogit = weights_N[n] * (probability - (v === target ? 1 : 0));
      for (let d = 0; d < D; d++) dx_D[d] += dlogit * w_VD[v * D + d];
    }
    dx_ND.set(dx_D, n * D);
  }
}
