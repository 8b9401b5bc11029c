import { assert } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { Tensor } from '../tensor.ts';
import { isLogitsHead, logitsLosses, type Head, type LogitsHead } from './logits-loss.ts';
import type { Targets } from './loss.ts';

export interface SequenceLogProbs {
  /** [S]: Σ weight · log p(target) over the rows of each sequence. */
  readonly logProbs: Tensor;
  /** The same in float64, for what is computed from them. */
  readonly values_S: Float64Array;
}

/**
 * The log probabilities that softmax(x_ND · Wᵀ) gives to whole sequences. As in the cross-entropy (loss.ts), no [N, V] matrix is held, and
 * the gradient of x is made in the same pass: going back scales each sequence's rows by what arrives.
 * @param ends_S the row after the last one of each sequence, rising; the rows of all are 0..N
 */
export function sequenceLogProbs(
  g: Graph,
  x: Tensor,
  head: Head,
  targets: Targets,
  ends_S: Int32Array,
): SequenceLogProbs {
  const { tokenIds_N, weights_N } = targets;
  const N = tokenIds_N.length;
  const S = ends_S.length;
  assert(x.shape[0] === N && weights_N.length === N, 'one target and one weight a row');
  assert((ends_S.at(-1) ?? 0) === N, 'every row belongs to a sequence');
  if (isLogitsHead(head)) return logProbsOfLogits(g, x, head, targets, ends_S);
  const losses = g.empty([N]);
  const dx = g.needsGradient(x) ? g.empty(x.shape) : null;
  g.kernels.linearCrossEntropy(losses.data, dx?.data ?? null, null, x.data, head, tokenIds_N, weights_N, N);
  const logProbs = g.empty([S]);
  const values_S = new Float64Array(S);
  for (let s = 0, n = 0; s < S; s++) {
    for (; n < ends_S[s]; n++) values_S[s] -= losses.data[n] * weights_N[n];
    logProbs.data[s] = values_S[s];
  }
  g.release(losses);
  if (dx) {
    const D = x.data.length / Math.max(1, N);
    g.record(logProbs, [x], [dx], (dLogProbs) => {
      const slot = g.gradient(x);
      if (!slot.accumulate) slot.tensor.data.fill(0);
      for (let s = 0; s < S; s++) {
        const [begin, end] = [D * (s === 0 ? 0 : ends_S[s - 1]), D * ends_S[s]];
        // dx is the gradient of −log p.
        const factor = -dLogProbs.data[s];
        if (begin < end && factor !== 0) {
          g.kernels.axpy(slot.tensor.data.subarray(begin, end), dx.data.subarray(begin, end), factor);
        }
      }
    });
  }
  return { logProbs, values_S };
}

function logProbsOfLogits(
  g: Graph,
  x: Tensor,
  head: LogitsHead,
  { tokenIds_N, weights_N }: Targets,
  ends_S: Int32Array,
): SequenceLogProbs {
  const { losses } = logitsLosses(g, head.logits(g, x), tokenIds_N);
  const logProbs = g.empty([ends_S.length]);
  const values_S = new Float64Array(ends_S.length);
  for (let s = 0, n = 0; s < ends_S.length; s++) {
    for (; n < ends_S[s]; n++) values_S[s] -= losses.data[n] * weights_N[n];
    logProbs.data[s] = values_S[s];
  }
  g.record(logProbs, [losses], [], (dLogProbs) => {
    const { tensor, accumulate } = g.gradient(losses);
    assert(!accumulate, 'nothing else reads the losses');
    for (let s = 0, n = 0; s < ends_S.length; s++) {
      for (; n < ends_S[s]; n++) tensor.data[n] = -dLogProbs.data[s] * weights_N[n];
    }
  });
  return { logProbs, values_S };
}
