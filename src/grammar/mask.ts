import type { Floats } from '../numeric/index.ts';

const ALL = -1;

/**
 * Forbids tokens: their logits become −∞, so that neither argmax nor sampling can take them.
 * @param logits_V one row; changed
 * @param mask ⌈V / 32⌉ words or more, a bit for each token that may come, the lowest token lowest
 */
export function maskLogits(logits_V: Floats, mask: Int32Array): void {
  const V = logits_V.length;
  for (let word = 0; word * 32 < V; word++) {
    const bits = mask[word];
    if (bits === ALL) continue;
    const first = word * 32;
    const end = Math.min(first + 32, V);
    if (bits === 0) {
      logits_V.fill(-Infinity, first, end);
      continue;
    }
    for (let id = first; id < end; id++) if (((bits >>> (id - first)) & 1) === 0) logits_V[id] = -Infinity;
  }
}
