import { test } from 'node:test';
import { centralDifferences, inner } from '../../../test/support/central-differences.ts';
import { normalArray } from '../../../test/support/random-arrays.ts';
import { assertClose } from '../compare.ts';
import { WEIGHT_FORMATS } from '../kernels.ts';
import { freeze } from './frozen-matrix.ts';
import { gemm } from './gemm.ts';
import { linearBackward, linearForward } from './linear.ts';

const [T, I, O] = [3, 5, 7];

test('a linear layer by hand, with and without accumulation', () => {
  const w = freeze(Float64Array.of(1, 2, 3, 4, 5, 6), 2, 3, 'f32');
  const y = Float64Array.of(100, 200);
  linearForward(y, Float64Array.of(1, 0, -1), w, 1, true);
  assertClose(y, [98, 198], 0);
  linearForward(y, Float64Array.of(1, 0, -1), w, 1, false);
  assertClose(y, [-2, -2], 0);
  const dx = Float64Array.of(10, 20, 30);
  linearBackward(dx, Float64Array.of(1, -1), w, 1, true);
  assertClose(dx, [7, 17, 27], 0);
});

for (const format of WEIGHT_FORMATS) {
  test(`the linear layer's backward is its central difference, ${format}`, () => {
    const weight = freeze(normalArray(O * I, 'w'), O, I, format);
    const [x, dy] = [normalArray(T * I, 'x'), normalArray(T * O, 'dy')];
    const loss = (): number => {
      const y = new Float64Array(T * O);
      linearForward(y, x, weight, T, false);
      return inner(y, dy);
    };
    const before = normalArray(T * I, 'before');
    const dx = before.slice();
    linearBackward(dx, dy, weight, T, true);
    const expected = centralDifferences(loss, x);
    assertClose(
      dx.map((value, i) => value - before[i]),
      expected,
      'centralDifference',
    );
    linearBackward(dx, dy, weight, T, false);
    assertClose(dx, expected, 'centralDifference');
  });
}

test('gemm by hand, in all four layouts', () => {
  const b = { false: Float64Array.of(5, 6, 7, 8, 9, 10), true: Float64Array.of(5, 7, 9, 6, 8, 10) };
  const a = { false: Float64Array.of(1, 2, 3), true: Float64Array.of(1, 2, 3) };
  for (const transposeA of [false, true]) {
    for (const transposeB of [false, true]) {
      const c = Float64Array.of(1000, 2000);
      const shape = { M: 1, N: 2, K: 3, transposeA, transposeB, alpha: 2, accumulate: true };
      gemm(c, a[`${transposeA}`], b[`${transposeB}`], shape);
      assertClose(c, [1000 + 2 * 46, 2000 + 2 * 52], 0, `${transposeA} ${transposeB}`);
    }
  }
});

for (const transposeA of [false, true]) {
  for (const transposeB of [false, true]) {
    test(`gemm's gradients are gemms, transposeA ${transposeA}, transposeB ${transposeB}`, () => {
      const [M, N, K, alpha] = [3, 4, 5, 0.7];
      const [a, b, dc] = [normalArray(M * K, 'a'), normalArray(K * N, 'b'), normalArray(M * N, 'dc')];
      const loss = (): number => {
        const c = new Float64Array(M * N);
        gemm(c, a, b, { M, N, K, transposeA, transposeB, alpha });
        return inner(c, dc);
      };
      const [da, db] = [new Float64Array(M * K), new Float64Array(K * N)];
      // A stored [M, K]: dA = dC·Bᵀ; stored [K, M]: dAᵀ = B·dCᵀ. The same for B.
      if (transposeA) gemm(da, b, dc, { M: K, N: M, K: N, transposeA: transposeB, transposeB: true, alpha });
      else gemm(da, dc, b, { M, N: K, K: N, transposeB: !transposeB, alpha });
      if (transposeB) gemm(db, dc, a, { M: N, N: K, K: M, transposeA: true, transposeB: transposeA, alpha });
      else gemm(db, a, dc, { M: K, N, K: M, transposeA: !transposeA, alpha });
      assertClose(da, centralDifferences(loss, a), 'centralDifference');
      assertClose(db, centralDifferences(loss, b), 'centralDifference');
    });
  }
}
