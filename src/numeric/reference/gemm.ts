import type { Floats, GemmShape } from '../kernels.ts';
import { requireLength } from './lengths.ts';

/**
 * c_MN (+)= alpha · A · B, each operand stored plainly or transposed. It is its own backward: of C = A·B,
 * dA = dC·Bᵀ and dB = Aᵀ·dC are products of the same kind.
 */
export function gemm(c_MN: Floats, a: Floats, b: Floats, shape: GemmShape): void {
  const { M, N, K, transposeA = false, transposeB = false, alpha = 1, accumulate = false } = shape;
  requireLength('c', c_MN, M * N);
  requireLength('a', a, M * K);
  requireLength('b', b, K * N);
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let k = 0; k < K; k++) {
        const left = transposeA ? a[k * M + m] : a[m * K + k];
        const right = transposeB ? b[n * K + k] : b[k * N + n];
        sum += left * right;
      }
      c_MN[m * N + n] = alpha * sum + (accumulate ? c_MN[m * N + n] : 0);
    }
  }
}
