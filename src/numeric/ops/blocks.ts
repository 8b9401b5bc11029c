import { assert } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { Floats } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';
import { zeroedGradient } from './contribution.ts';

/** x_TI · blockdiag(M_1 … M_N) with blocks [N, B, B] and I = N·B, or one block [1, B, B] for all. Both may be trainable. */
export function multiplyBlocks(g: Graph, x: Tensor, blocks_NBB: Tensor): Tensor {
  const [T, I] = x.shape as [number, number];
  const [N, B] = blocks_NBB.shape as [number, number];
  assert(I % B === 0 && (N === 1 || N * B === I), 'the blocks fit the rows');
  const y = g.empty(x.shape);
  const [part, product] = [g.empty([T, B]), g.empty([T, B])];
  const blockAt = (all: Floats, column: number): Floats => {
    const begin = N === 1 ? 0 : column * B;
    return all.subarray(begin, begin + B * B);
  };
  for (let column = 0; column < I; column += B) {
    copyColumns(part.data, x, column, B);
    g.kernels.gemm(product.data, part.data, blockAt(blocks_NBB.data, column), { M: T, N: B, K: B });
    for (let t = 0; t < T; t++) y.data.set(product.data.subarray(t * B, (t + 1) * B), t * I + column);
  }
  g.release(part);
  g.release(product);
  const saved = g.needsGradient(blocks_NBB) ? [x, blocks_NBB] : [blocks_NBB];
  g.record(y, [x, blocks_NBB], saved, (dy) => {
    const dBlocks = g.needsGradient(blocks_NBB) ? zeroedGradient(g, blocks_NBB) : undefined;
    const dx = g.needsGradient(x) ? zeroedGradient(g, x) : undefined;
    const [dPart, ofX] = [g.empty([T, B]), g.empty([T, B])];
    for (let column = 0; column < I; column += B) {
      copyColumns(dPart.data, dy, column, B);
      if (dBlocks) {
        copyColumns(ofX.data, x, column, B);
        const shape = { M: B, N: B, K: T, transposeA: true, accumulate: true };
        g.kernels.gemm(blockAt(dBlocks, column), ofX.data, dPart.data, shape);
      }
      if (!dx) continue;
      g.kernels.gemm(ofX.data, dPart.data, blockAt(blocks_NBB.data, column), { M: T, N: B, K: B, transposeB: true });
      for (let t = 0; t < T; t++) {
        for (let b = 0; b < B; b++) dx[t * I + column + b] = dx[t * I + column + b] + ofX.data[t * B + b];
      }
    }
    g.release(dPart);
    g.release(ofX);
  });
  return y;
}

/** part_TB = columns column..column+B of x_TI. */
function copyColumns(part: Floats, x: Tensor, column: number, B: number): void {
  const [T, I] = x.shape as [number, number];
  for (let t = 0; t < T; t++) part.set(x.data.subarray(t * I + column, t * I + column + B), t * B);
}
