/** Orthogonal matrices from skew-symmetric ones (Cayley, 1846), as PEFT's OFT makes them. All are square and row-major. */
import type { Floats, Kernels } from '../../numeric/index.ts';
import { zerosLike } from '../dense.ts';

/** The skew-symmetric [B, B] whose upper triangle, row by row, is `upper`. */
export function skewSymmetric(upper: Floats, B: number): Floats {
  const skew = zerosLike(upper, B * B);
  let next = 0;
  for (let row = 0; row < B; row++) {
    for (let column = row + 1; column < B; column++, next++) {
      skew[row * B + column] = upper[next];
      skew[column * B + row] = -upper[next];
    }
  }
  return skew;
}

/** COFT's constraint: a matrix whose norm is above `limit` is shortened to it. In place. */
export function constrain(skew: Floats, limit: number): void {
  let sum = 0;
  for (const value of skew) sum += value * value;
  const norm = Math.sqrt(sum);
  if (norm <= limit) return;
  for (let i = 0; i < skew.length; i++) skew[i] = skew[i] * (limit / norm);
}

/** (I − Q)(I + Q)⁻¹ in float64. It exists for every skew-symmetric Q, whose eigenvalues are imaginary. */
export function cayley(skew: Floats, B: number): Float64Array {
  // R·(I + Q) = I − Q, transposed: (I + Q)ᵀ·Rᵀ = (I − Q)ᵀ, and Qᵀ = −Q: (I − Q)·Rᵀ = I + Q.
  const left = Float64Array.from(skew, (value, i) => (i % (B + 1) === 0 ? 1 : 0) - value);
  const right = Float64Array.from(skew, (value, i) => (i % (B + 1) === 0 ? 1 : 0) + value);
  return transpose(solve(left, right, B), B);
}

/**
 * The factors of Q⁰, Q¹, … in PEFT's truncated Neumann series of Cayley's matrix, with Q for −Q: I + 2·(Q + Q² + …), whose last power
 * counts once. `numTerms` is the config's number; 3 and 4 give the same series in PEFT.
 */
export function neumannFactors(numTerms: number): readonly number[] {
  if (numTerms <= 1) return [1];
  if (numTerms === 2) return [1, 2];
  const last = Math.max(3, numTerms - 1);
  return Array.from({ length: last + 1 }, (_, k) => (k === 0 || k === last ? 1 : 2));
}

/** The matrix of {@link neumannFactors}, in the kernels' precision. */
export function cayleyNeumann(kernels: Kernels, skew: Floats, B: number, numTerms: number): Floats {
  const sum = zerosLike(skew, B * B);
  for (let i = 0; i < sum.length; i += B + 1) sum[i] = 1;
  let power = skew;
  for (const [exponent, factor] of neumannFactors(numTerms).entries()) {
    if (exponent === 0) continue;
    if (exponent > 1) {
      const next = zerosLike(skew, B * B);
      kernels.gemm(next, power, skew, { M: B, N: B, K: B });
      power = next;
    }
    kernels.axpy(sum, power, factor);
  }
  return sum;
}

function transpose(a: Float64Array, B: number): Float64Array {
  return a.map((_, i) => a[(i % B) * B + Math.floor(i / B)]);
}

/** X with left · X = right, by elimination with row pivots; changes both. */
function solve(left: Float64Array, right: Float64Array, B: number): Float64Array {
  for (let column = 0; column < B; column++) {
    let pivot = column;
    for (let row = column + 1; row < B; row++) {
      if (Math.abs(left[row * B + column]) > Math.abs(left[pivot * B + column])) pivot = row;
    }
    swapRows(left, column, pivot, B);
    swapRows(right, column, pivot, B);
    for (let row = 0; row < B; row++) {
      if (row === column) continue;
      const factor = left[row * B + column] / left[column * B + column];
      for (let k = 0; k < B; k++) {
        left[row * B + k] -= factor * left[column * B + k];
        right[row * B + k] -= factor * right[column * B + k];
      }
    }
  }
  return right.map((value, i) => value / left[Math.floor(i / B) * (B + 1)]);
}

function swapRows(matrix: Float64Array, a: number, b: number, B: number): void {
  if (a === b) return;
  const kept = matrix.slice(a * B, (a + 1) * B);
  matrix.copyWithin(a * B, b * B, (b + 1) * B);
  matrix.set(kept, b * B);
}
