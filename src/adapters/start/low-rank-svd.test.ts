import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normalArray } from '../../../test/support/random-arrays.ts';
import { assertClose } from '../../numeric/compare.ts';
import { loadNativeKernels, referenceKernels, type Kernels } from '../../numeric/index.ts';
import { lowRankSvd, orthonormalise, symmetricEigen } from './low-rank-svd.ts';

/** A matrix [O, I] with these singular values. */
function withValues(O: number, I: number, values: readonly number[]): Float64Array {
  const K = values.length;
  const [u, v] = [normalArray(K * O, 'u'), normalArray(K * I, 'v')];
  orthonormalise(u, K, O);
  orthonormalise(v, K, I);
  return Float64Array.from({ length: O * I }, (_, at) => {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += values[k] * u[k * O + Math.floor(at / I)] * v[k * I + (at % I)];
    return sum;
  });
}

function checkDecomposition(kernels: Kernels, tolerance: 'f64' | 'f32Kernel'): void {
  for (const [O, I, rank] of [
    [1, 1, 1],
    [7, 5, 5],
    [13, 40, 3],
    [40, 13, 2],
  ]) {
    const values = Array.from({ length: Math.min(O, I) }, (_, k) => 10 * 0.7 ** k);
    const wide = withValues(O, I, values);
    const m = tolerance === 'f64' ? wide : Float32Array.from(wide);
    const found = lowRankSvd(kernels, m, O, I, rank);
    assertClose(found.values, values.slice(0, rank), tolerance, `${O} by ${I}`);
    // What is left has the values that are left: its squares add up to theirs.
    let left = 0;
    for (let at = 0; at < O * I; at++) {
      let value: number = m[at];
      for (let k = 0; k < rank; k++) {
        value -= found.values[k] * found.u_KO[k * O + Math.floor(at / I)] * found.v_KI[k * I + (at % I)];
      }
      left += value ** 2;
    }
    const expected = Math.hypot(...values.slice(rank));
    assert.ok(Math.abs(Math.sqrt(left) - expected) <= 1e-5 * values[0], `${O} by ${I}: ${Math.sqrt(left)} ${expected}`);
  }
}

test('the largest singular values and vectors, in float64 and in float32', () => {
  checkDecomposition(referenceKernels(), 'f64');
  checkDecomposition(loadNativeKernels({ threads: 1 }), 'f32Kernel');
});

test('singular values that lie close together are told apart', () => {
  const values = Array.from({ length: 60 }, (_, k) => 1 - 0.01 * k);
  const m = Float32Array.from(withValues(64, 96, values));
  const found = lowRankSvd(loadNativeKernels({ threads: 1 }), m, 64, 96, 8);
  assertClose(found.values, values.slice(0, 8), 1e-4);
});

test('the same bits with any number of threads; a matrix of a lower rank has zeros', () => {
  const m = Float32Array.from(withValues(30, 20, [3, 2]));
  const [one, two] = [1, 2].map((threads) => lowRankSvd(loadNativeKernels({ threads }), m, 30, 20, 4));
  assert.deepEqual(one, two);
  assert.ok(one.values[2] < 1e-5);
  assert.ok(one.v_KI.every((value) => Number.isFinite(value)));
});

test('eigenvectors of a symmetric matrix', () => {
  for (const n of [1, 2, 9]) {
    const half = normalArray(n * n, 'symmetric');
    const matrix = half.map((value, i) => value + half[(i % n) * n + Math.floor(i / n)]);
    const { values, vectors } = symmetricEigen(matrix, n);
    const again = matrix.map((_, at) => {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += values[k] * vectors[k * n + Math.floor(at / n)] * vectors[k * n + (at % n)];
      return sum;
    });
    assertClose(again, matrix, 'f64', `${n}`);
    assert.ok(values.every((value, k) => k === 0 || value <= values[k - 1]));
  }
});
