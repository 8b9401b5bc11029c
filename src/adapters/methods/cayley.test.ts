import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../../base/index.ts';
import { referenceKernels } from '../../numeric/index.ts';
import { assertClose } from '../../numeric/compare.ts';
import { cayley, cayleyNeumann, constrain, skewSymmetric } from './cayley.ts';

const kernels = referenceKernels();

function upperOf(B: number, deviation: number): Float64Array {
  const rng = Rng.fromSeed(B, 'upper');
  return Float64Array.from({ length: (B * (B - 1)) / 2 }, () => deviation * rng.nextNormal());
}

function timesTransposed(r: Float64Array, B: number): Float64Array {
  return r.map((_, i) => {
    let sum = 0;
    for (let k = 0; k < B; k++) sum += r[Math.floor(i / B) * B + k] * r[(i % B) * B + k];
    return sum;
  });
}

const identity = (B: number): Float64Array =>
  Float64Array.from({ length: B * B }, (_, i) => (i % (B + 1) === 0 ? 1 : 0));

test('a skew-symmetric matrix is filled row by row', () => {
  assert.deepEqual([...skewSymmetric(Float64Array.of(1, 2, 3), 3)], [0, 1, 2, -1, 0, 3, -2, -3, 0]);
});

test('Cayley’s matrix is orthogonal for large Q, and a rotation by 2·atan(q) for two dimensions', () => {
  for (const B of [1, 2, 3, 8, 17]) {
    assertClose(timesTransposed(cayley(skewSymmetric(upperOf(B, 2), B), B), B), identity(B), 'f64', `B = ${B}`);
  }
  const angle = 2 * Math.atan(0.3);
  const expected = [Math.cos(angle), -Math.sin(angle), Math.sin(angle), Math.cos(angle)];
  assertClose(cayley(skewSymmetric(Float64Array.of(0.3), 2), 2), expected, 'f64');
});

test('the Neumann series comes nearer to Cayley’s matrix of −Q with every term, and its short forms are PEFT’s', () => {
  const B = 5;
  const skew = skewSymmetric(upperOf(B, 0.05), B);
  const exact = cayley(
    skew.map((value) => -value),
    B,
  );
  const errors = [2, 4, 5, 8, 12].map((numTerms) => {
    const series = cayleyNeumann(kernels, skew, B, numTerms);
    return Math.hypot(...Float64Array.from(series).map((value, i) => value - exact[i]));
  });
  for (let i = 1; i < errors.length; i++) assert.ok(errors[i] < errors[i - 1] / 2, errors.join(' '));
  assert.deepEqual(cayleyNeumann(kernels, skew, B, 1), identity(B));
  assert.deepEqual(cayleyNeumann(kernels, skew, B, 3), cayleyNeumann(kernels, skew, B, 4));
});

test('the constraint shortens what is longer and leaves the rest', () => {
  const skew = Float64Array.of(0, 3, -3, 0);
  const kept = skew.slice();
  constrain(kept, 5);
  assert.deepEqual(kept, skew);
  constrain(kept, Math.sqrt(2));
  assertClose(kept, [0, 1, -1, 0], 'f64');
});
