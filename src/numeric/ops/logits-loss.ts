/** The loss where an adapter has a part in the head: from logits that are held, which costs a [N, V] matrix and another on the way back. */
import { assert } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { FrozenMatrix } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';

/** A head that is not only a frozen matrix: logits_NV of x_ND, on the graph. */
export interface LogitsHead {
  logits(g: Graph, x: Tensor): Tensor;
}

/** What gives logits. */
export type Head = FrozenMatrix | LogitsHead;

export function isLogitsHead(head: Head): head is LogitsHead {
  return 'logits' in head;
}

export interface RowLosses {
  /** [N]: −log p(target). */
  readonly losses: Tensor;
  /** 1 where the target had the highest logit. */
  readonly isTop_N: Uint8Array;
}

/** −log softmax(logits_NV)[target] of each row, its sums in float64. */
export function logitsLosses(g: Graph, logits: Tensor, targets_N: Int32Array): RowLosses {
  const [N, V] = logits.shape as [number, number];
  assert(targets_N.length === N, 'one target a row');
  const losses = g.empty([N]);
  const isTop_N = new Uint8Array(N);
  const logSums = new Float64Array(N);
  for (let n = 0; n < N; n++) {
    const row = logits.data.subarray(n * V, (n + 1) * V);
    let top = 0;
    for (let v = 1; v < V; v++) if (row[v] > row[top]) top = v;
    let sum = 0;
    for (let v = 0; v < V; v++) sum += Math.exp(row[v] - row[top]);
    logSums[n] = row[top] + Math.log(sum);
    losses.data[n] = logSums[n] - row[targets_N[n]];
    isTop_N[n] = top === targets_N[n] ? 1 : 0;
  }
  g.record(losses, [logits], [logits], (dLosses) => {
    const { tensor, accumulate } = g.gradient(logits);
    for (let n = 0; n < N; n++) {
      const d = dLosses.data[n];
      for (let i = n * V; i < (n + 1) * V; i++) {
        const contribution = d * Math.exp(logits.data[i] - logSums[n]);
        tensor.data[i] = accumulate ? tensor.data[i] + contribution : contribution;
      }
      const target = n * V + targets_N[n];
      tensor.data[target] = tensor.data[target] - d;
    }
  });
  return { losses, isTop_N };
}
