import type { Graph } from '../graph.ts';
import type { Floats } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';
import { zeroedGradient } from './contribution.ts';

/**
 * Rows that are mixed of a bank of vectors (VB-LoRA: Li et al., 2024): y_n = Σ softmax(top k of logits_n)_v · bank_v, [N, L]. The choice
 * itself has no gradient. Of equal logits the one that comes first is chosen.
 * @param logits_NV its last axis is the bank's; those before it count as rows
 */
export function mixTopVectors(g: Graph, logits_NV: Tensor, bank_VL: Tensor, k: number): Tensor {
  const [V, L] = bank_VL.shape as [number, number];
  const N = logits_NV.data.length / V;
  const y = g.empty([N, L]);
  const chosen = new Int32Array(N * k);
  const shares = new Float64Array(N * k);
  for (let n = 0; n < N; n++) {
    topPositions(logits_NV.data.subarray(n * V, (n + 1) * V), chosen.subarray(n * k, (n + 1) * k));
    const most = logits_NV.data[n * V + chosen[n * k]];
    let sum = 0;
    for (let at = n * k; at < (n + 1) * k; at++) {
      shares[at] = Math.exp(logits_NV.data[n * V + chosen[at]] - most);
      sum += shares[at];
    }
    for (let at = n * k; at < (n + 1) * k; at++) shares[at] /= sum;
    for (let l = 0; l < L; l++) {
      let value = 0;
      for (let at = n * k; at < (n + 1) * k; at++) value += shares[at] * bank_VL.data[chosen[at] * L + l];
      y.data[n * L + l] = value;
    }
  }
  g.record(y, [logits_NV, bank_VL], [bank_VL], (dy) => {
    const dLogits = g.needsGradient(logits_NV) ? zeroedGradient(g, logits_NV) : undefined;
    const dBank = g.needsGradient(bank_VL) ? zeroedGradient(g, bank_VL) : undefined;
    const dShares = new Float64Array(k);
    for (let n = 0; n < N; n++) {
      let mean = 0;
      for (let j = 0; j < k; j++) {
        const [v, share] = [chosen[n * k + j], shares[n * k + j]];
        dShares[j] = 0;
        for (let l = 0; l < L; l++) {
          const d = dy.data[n * L + l];
          dShares[j] += d * bank_VL.data[v * L + l];
          if (dBank) dBank[v * L + l] = dBank[v * L + l] + share * d;
        }
        mean += share * dShares[j];
      }
      for (let j = 0; dLogits && j < k; j++) {
        const at = n * V + chosen[n * k + j];
        dLogits[at] = dLogits[at] + shares[n * k + j] * (dShares[j] - mean);
      }
    }
  });
  return y;
}

/** The positions of the largest values, largest first, into `positions`. */
function topPositions(values: Floats, positions: Int32Array): void {
  let numFound = 0;
  for (let v = 0; v < values.length; v++) {
    let place = numFound;
    while (place > 0 && values[v] > values[positions[place - 1]]) place--;
    if (place >= positions.length) continue;
    positions.copyWithin(place + 1, place, Math.min(numFound, positions.length - 1));
    positions[place] = v;
    numFound = Math.min(numFound + 1, positions.length);
  }
}
