import { assert } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { FrozenMatrix } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';

/** What rows are asked to predict: N targets with a weight each. */
export interface Targets {
  readonly tokenIds_N: Int32Array;
  readonly weights_N: Float32Array | Float64Array;
}

export interface CrossEntropy {
  /** [1]: Σ weight · −log p(target). A sum, not a mean: whoever owns the whole batch divides once. */
  readonly lossSum: Tensor;
  /** [N]: −log p(target), without the weight. */
  readonly losses: Tensor;
  /** [N]: 1 where the target had the highest logit. */
  readonly isTop_N: Uint8Array;
  /** How many targets had the highest logit. */
  readonly numTop: number;
}

/**
 * Cross-entropy of softmax(x_ND · Wᵀ) fused with its linear layer, so that no [N, V] matrix is ever held; the gradient of x is made in
 * the same pass (the method of Liger's fused linear cross-entropy, Hsu et al., 2024).
 */
export function linearCrossEntropy(g: Graph, x: Tensor, head: FrozenMatrix, targets: Targets): CrossEntropy {
  const N = targets.tokenIds_N.length;
  assert(x.shape[0] === N && targets.weights_N.length === N, 'one target and one weight a row');
  const losses = g.empty([N]);
  const isTop = new Uint8Array(N);
  const dx = g.needsGradient(x) ? g.empty(x.shape) : null;
  const { tokenIds_N, weights_N } = targets;
  g.kernels.linearCrossEntropy(losses.data, dx?.data ?? null, isTop, x.data, head, tokenIds_N, weights_N, N);
  const lossSum = g.empty([1]);
  let sum = 0;
  let numTop = 0;
  for (let n = 0; n < N; n++) {
    sum += losses.data[n] * weights_N[n];
    numTop += isTop[n];
  }
  lossSum.data[0] = sum;
  if (dx) {
    g.record(lossSum, [x], [dx], (dLoss) => {
      const slot = g.gradient(x);
      if (!slot.accumulate) slot.tensor.data.fill(0);
      g.kernels.axpy(slot.tensor.data, dx.data, dLoss.data[0]);
    });
  }
  return { lossSum, losses, isTop_N: isTop, numTop };
}
