import { assert } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { Tensor } from '../tensor.ts';
import { isLogitsHead, logitsLosses, type Head, type LogitsHead } from './logits-loss.ts';

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
 * the same pass (the method of Liger's fused linear cross-entropy, Hsu et al., 2024). A head that is no frozen matrix gives its logits whole.
 */
export function linearCrossEntropy(g: Graph, x: Tensor, head: Head, targets: Targets): CrossEntropy {
  if (isLogitsHead(head)) return crossEntropyOfLogits(g, x, head, targets);
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

function crossEntropyOfLogits(g: Graph, x: Tensor, head: LogitsHead, targets: Targets): CrossEntropy {
  const { tokenIds_N, weights_N } = targets;
  assert(x.shape[0] === tokenIds_N.length && weights_N.length === tokenIds_N.length, 'one target and one weight a row');
  const { losses, isTop_N } = logitsLosses(g, head.logits(g, x), tokenIds_N);
  const lossSum = g.empty([1]);
  let [sum, numTop] = [0, 0];
  for (let n = 0; n < tokenIds_N.length; n++) {
    sum += losses.data[n] * weights_N[n];
    numTop += isTop_N[n];
  }
  lossSum.data[0] = sum;
  g.record(lossSum, [losses], [], (dLoss) => {
    const { tensor, accumulate } = g.gradient(losses);
    assert(!accumulate, 'nothing else reads the losses');
    for (let n = 0; n < tokenIds_N.length; n++) tensor.data[n] = dLoss.data[0] * weights_N[n];
  });
  return { lossSum, losses, isTop_N, numTop };
}
