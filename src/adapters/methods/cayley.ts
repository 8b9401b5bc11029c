/** Orthogonal matrices from skew-symmetric ones (Cayley, 1846), as PEFT's OFT makes them. All square, row-major, float64. */
import type { Floats } from '../../numeric/index.ts';

/** The skew-symmetric [B, B] whose upper triangle, row by row, is `upper`. */
export function skewSymmetric(upper: Floats, B: number): Float64Array {
  const skew = new Float64Array(B * B);
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
export function constrain(skew: Float64Array, limit: number): void {
  let sum = 0;
  for (const value of skew) sum += value * value;
  const norm = Math.sqrt(sum);
  if (norm <= limit) return;
  for (let i = 0; i < skew.length; i++) skew[i] = skew[i] * (limit / norm);
}

/** (I − Q)(I + Q)⁻¹. It exists for every skew-symmetric Q, whose eigenvalues are imaginary. */
export function cayley(skew: Float64Array, B: number): Float64Array {
  // R·(I + Q) = I − Q, transposed: (I + Q)ᵀ·Rᵀ = (I − Q)ᵀ, and Qᵀ = −Q: (I − Q)·Rᵀ = I + Q.
  const left = skew.map((value, i) => (i % (B + 1) === 0 ? 1 : 0) - value);
  const right = skew.map((value, i) => (i % (B + 1) === 0 ? 1 : 0) + value);
  return transpose(solve(left, right, B), B);
}

/**
 * PEFT's truncated Neumann series of the same: with Q for −Q, I + 2·(Q + Q² + …) whose last power counts once. `numTerms` is the config's
 * number; 3 and 4 give the same series in PEFT.
 */
export function cayleyNeumann(skew: Float64Array, B: number, numTerms: number): Float64Array {
  const sum = skew.map((_, i) => (i % (B + 1) === 0 ? 1 : 0));
  const add = (power: Float64Array, weight: number): void => {
    for (let i = 0; i < sum.length; i++) sum[i] = sum[i] + weight * power[i];
  };
  if (numTerms > 1) add(skew, 2);
  if (numTerms > 2) {
    let power = multiply(skew, skew, B);
    add(power, 2);
    for (let exponent = 3; exponent < numTerms - 1; exponent++) {
      power = multiply(power, skew, B);
      add(power, 2);
    }
    add(multiply(power, skew, B), 1);
  }
  return sum;
}

function multiply(a: Float64Array, b: Float64Array, B: number): Float64Array {
  const result = new Float64Array(B * B);
  for (let row = 0; row < B; row++) {
    for (let k = 0; k < B; k++) {
      const factor = a[row * B + k];
      for (let column = 0; column < B; column++) result[row * B + column] += factor * b[k * B + column];
    }
  }
  return result;
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
