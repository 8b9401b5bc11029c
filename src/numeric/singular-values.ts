import { Matrix, QrDecomposition, SingularValueDecomposition } from 'ml-matrix';
import { assert } from '../base/index.ts';
import type { Floats } from './kernels.ts';
import type { Tensor } from './tensor.ts';

/** W_OI = U · diag(s) · Vᵀ, in float64: K singular values, falling. */
export interface SingularParts {
  readonly values_K: Float64Array;
  /** [O, K], orthonormal columns. */
  readonly left_OK: Matrix;
  /** [I, K], orthonormal columns. */
  readonly right_IK: Matrix;
}

/** The singular value decomposition of a dense matrix (Golub and Reinsch, 1970, by ml-matrix). */
export function singularParts({ shape: [O, I], data }: Tensor): SingularParts {
  return decompose(matrixOf(data, O, I));
}

/**
 * The same of a product b_OR · a_RI without making it: of both factors an orthonormal basis, and in between a core of R × R. Costs R²·(O + I)
 * instead of O·I·min(O, I).
 */
export function singularPartsOfProduct(b_OR: Tensor, a_RI: Tensor): SingularParts {
  const [O, R] = b_OR.shape as [number, number];
  const I = a_RI.shape[1];
  assert(a_RI.shape[0] === R, 'the factors of a product fit');
  const [b, a] = [matrixOf(b_OR.data, O, R), matrixOf(a_RI.data, R, I)];
  if (R > Math.min(O, I)) return decompose(b.mmul(a));
  const [ofB, ofA] = [new QrDecomposition(b), new QrDecomposition(a.transpose())];
  const { values_K, left_OK, right_IK } = decompose(
    ofB.upperTriangularMatrix.mmul(ofA.upperTriangularMatrix.transpose()),
  );
  return {
    values_K,
    left_OK: ofB.orthogonalMatrix.mmul(left_OK),
    right_IK: ofA.orthogonalMatrix.mmul(right_IK),
  };
}

/**
 * The product of rank R that is nearest to the matrix in the Frobenius norm (Eckart and Young, 1936): b_OR holds the singular vectors of the
 * outputs times their values, a_RI those of the inputs.
 */
export function nearestProduct(parts: SingularParts, rank: number): { readonly b_OR: Tensor; readonly a_RI: Tensor } {
  const { values_K, left_OK, right_IK } = parts;
  const [O, I] = [left_OK.rows, right_IK.rows];
  assert(rank >= 1 && rank <= values_K.length, 'there are as many singular values as the rank');
  const [b, a] = [new Float32Array(O * rank), new Float32Array(rank * I)];
  for (let r = 0; r < rank; r++) {
    for (let o = 0; o < O; o++) b[o * rank + r] = left_OK.get(o, r) * values_K[r];
    for (let i = 0; i < I; i++) a[r * I + i] = right_IK.get(i, r);
  }
  return { b_OR: { shape: [O, rank], data: b }, a_RI: { shape: [rank, I], data: a } };
}

function decompose(matrix: Matrix): SingularParts {
  const svd = new SingularValueDecomposition(matrix, { autoTranspose: true });
  return {
    values_K: Float64Array.from(svd.diagonal),
    left_OK: svd.leftSingularVectors,
    right_IK: svd.rightSingularVectors,
  };
}

function matrixOf(data: Floats, rows: number, columns: number): Matrix {
  const matrix = new Matrix(rows, columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) matrix.set(row, column, data[row * columns + column]);
  }
  return matrix;
}
