import { assert } from '../../base/index.ts';
import type { Graph, Tensor } from '../../numeric/index.ts';

/** Every block of the input is multiplied by a matrix of its own, or all by one: orthogonal fine-tuning (Qiu et al., 2023). */
export interface BlockRotation {
  readonly kind: 'block-rotation';
  /** [N, B, B] with N·B inputs, or [1, B, B] for all blocks. */
  readonly blocks_NBB: Tensor;
}

/** x_TI := x · blockdiag(R_1 … R_N), in place: x'[n·B + c] = Σ_k x[n·B + k] · R_n[k, c]. Costs I·B multiplications a row. */
export function rotateBlocks(g: Graph, x: Tensor, { blocks_NBB }: BlockRotation): void {
  const [T, I] = x.shape as [number, number];
  const [N, B] = blocks_NBB.shape as [number, number];
  assert(I % B === 0 && (N === 1 || N * B === I), 'a rotation fits its site');
  const before = g.empty([T, B]);
  const after = g.empty([T, B]);
  for (let column = 0; column < I; column += B) {
    const block = N === 1 ? 0 : column * B;
    for (let t = 0; t < T; t++) before.data.set(x.data.subarray(t * I + column, t * I + column + B), t * B);
    g.kernels.gemm(after.data, before.data, blocks_NBB.data.subarray(block, block + B * B), { M: T, N: B, K: B });
    for (let t = 0; t < T; t++) x.data.set(after.data.subarray(t * B, (t + 1) * B), t * I + column);
  }
  g.release(before);
  g.release(after);
}
