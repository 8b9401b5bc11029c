import type { Graph } from '../graph.ts';
import type { Floats } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';
import { zeroedGradient } from './contribution.ts';

/**
 * A change of a frozen matrix W_OI by square blocks, [O, I]: the block at (n, m) is W_nm·B_n + B_n with the trainable blocks_NRR, O = N·R
 * (MiSS's `bat`: Kang and Yin, 2024).
 */
export function blockProducts(g: Graph, weight_OI: Floats, blocks_NRR: Tensor, I: number): Tensor {
  const [N, R] = blocks_NRR.shape as [number, number];
  const delta = g.empty([N * R, I]);
  // A row of blocks lies side by side in W; one below the other it is one factor of a product.
  const [stacked, product] = [g.empty([I, R]), g.empty([I, R])];
  for (let n = 0; n < N; n++) {
    const block = blocks_NRR.data.subarray(n * R * R, (n + 1) * R * R);
    stack(stacked.data, weight_OI, n, R, I);
    for (let at = 0; at < I * R; at += R * R) product.data.set(block, at);
    g.kernels.gemm(product.data, stacked.data, block, { M: I, N: R, K: R, accumulate: true });
    unstack(delta.data, product.data, n, R, I);
  }
  g.release(stacked);
  g.release(product);
  g.record(delta, [blocks_NRR], [], (dDelta) => {
    const dBlocks = zeroedGradient(g, blocks_NRR);
    const [ofW, d] = [g.empty([I, R]), g.empty([I, R])];
    for (let n = 0; n < N; n++) {
      const dBlock = dBlocks.subarray(n * R * R, (n + 1) * R * R);
      stack(ofW.data, weight_OI, n, R, I);
      stack(d.data, dDelta.data, n, R, I);
      for (let at = 0; at < I * R; at++) dBlock[at % (R * R)] = dBlock[at % (R * R)] + d.data[at];
      g.kernels.gemm(dBlock, ofW.data, d.data, { M: R, N: R, K: I, transposeA: true, accumulate: true });
    }
    g.release(ofW);
    g.release(d);
  });
  return delta;
}

/** The blocks of row n, one below the other: stacked[m·R + p, q] = x[n·R + p, m·R + q]. */
function stack(stacked: Floats, x: Floats, n: number, R: number, I: number): void {
  for (let m = 0; m < I / R; m++) {
    for (let p = 0; p < R; p++) {
      const begin = (n * R + p) * I + m * R;
      stacked.set(x.subarray(begin, begin + R), (m * R + p) * R);
    }
  }
}

function unstack(x: Floats, stacked: Floats, n: number, R: number, I: number): void {
  for (let m = 0; m < I / R; m++) {
    for (let p = 0; p < R; p++) {
      const begin = (m * R + p) * R;
      x.set(stacked.subarray(begin, begin + R), (n * R + p) * I + m * R);
    }
  }
}
