/** The kernels that work on one row or element at a time: norm, rotation, activation, optimizer, sums. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { centralDifferences, inner } from '../../../test/support/central-differences.ts';
import { cosSinTable, normalArray } from '../../../test/support/random-arrays.ts';
import { assertBitEqual, assertClose } from '../compare.ts';
import { adamW } from './adamw.ts';
import { axpy, sumSquares } from './elementwise.ts';
import { embeddingForward } from './embedding.ts';
import { freeze } from './frozen-matrix.ts';
import { rmsNormBackward, rmsNormForward } from './rms-norm.ts';
import { rope } from './rope.ts';
import { swigluBackward, swigluForward } from './swiglu.ts';

test('a normalised row by hand', () => {
  const [y, rstd] = [new Float64Array(2), new Float64Array(1)];
  rmsNormForward(y, rstd, Float64Array.of(3, 4), Float64Array.of(1, 10), 0, 1);
  assertClose(rstd, [Math.SQRT2 / 5], 'f64');
  assertClose(y, [(3 * Math.SQRT2) / 5, 8 * Math.SQRT2], 'f64');
  rmsNormForward(y, rstd, Float64Array.of(0, 0), Float64Array.of(1, 1), 0.25, 1);
  assertClose(rstd, [2], 0);
});

test("the norm's backward is its central difference", () => {
  const [T, D] = [3, 5];
  const [x, gain, dy] = [normalArray(T * D, 'x'), normalArray(D, 'gain'), normalArray(T * D, 'dy')];
  const rstd = new Float64Array(T);
  const loss = (): number => {
    const y = new Float64Array(T * D);
    rmsNormForward(y, rstd, x, gain, 0.1, T);
    return inner(y, dy);
  };
  const expected = centralDifferences(loss, x);
  loss();
  const dx = new Float64Array(T * D);
  rmsNormBackward(dx, dy, x, rstd, gain, T, false);
  assertClose(dx, expected, 'centralDifference');
  rmsNormBackward(dx, dy, x, rstd, gain, T, true);
  const doubled = expected.map((value) => 2 * value);
  assertClose(dx, doubled, 'centralDifference');
});

test('a rotation by hand: pairs are half a head apart', () => {
  const x = Float64Array.of(1, 0, 0, 1);
  // Position 1 turns the first pair by 90°, the second by 180°.
  rope(x, Int32Array.of(1), Float64Array.of(1, 1, 0, 0, 0, -1, 1, 0), 1, 1, 4, false);
  assertClose(x, [0, 0, 1, -1], 0);
});

test("the rotation's inverse is its inverse and its vjp", () => {
  const [T, H, E] = [4, 3, 6];
  const positions = Int32Array.of(0, 5, 2, 7);
  const table = cosSinTable(8, E);
  const [x, dy] = [normalArray(T * H * E, 'x'), normalArray(T * H * E, 'dy')];
  const loss = (): number => {
    const y = x.slice();
    rope(y, positions, table, T, H, E, false);
    return inner(y, dy);
  };
  const dx = dy.slice();
  rope(dx, positions, table, T, H, E, true);
  assertClose(dx, centralDifferences(loss, x), 'centralDifference');
  rope(dx, positions, table, T, H, E, false);
  assertClose(dx, dy, 'f64');
});

test("swiglu's backward is its central difference, also over dy", () => {
  const n = 11;
  const [gate, up, dy] = [normalArray(n, 'gate'), normalArray(n, 'up'), normalArray(n, 'dy')];
  const loss = (): number => {
    const y = new Float64Array(n);
    swigluForward(y, gate, up);
    return inner(y, dy);
  };
  const [dgate, dup] = [new Float64Array(n), new Float64Array(n)];
  swigluBackward(dgate, dup, dy, gate, up);
  assertClose(dgate, centralDifferences(loss, gate), 'centralDifference');
  assertClose(dup, centralDifferences(loss, up), 'centralDifference');
  const [overDgate, overDup] = [dy.slice(), dy.slice()];
  swigluBackward(overDgate, new Float64Array(n), overDgate, gate, up);
  swigluBackward(new Float64Array(n), overDup, overDup, gate, up);
  assertBitEqual(overDgate, dgate);
  assertBitEqual(overDup, dup);
});

test('silu has its known values', () => {
  const y = new Float64Array(3);
  swigluForward(y, Float64Array.of(0, Math.log(3), -800), Float64Array.of(1, 1, 1));
  assertClose(y, [0, Math.log(3) * 0.75, 0], 'f64');
});

test('the embedding copies rows, a token more than once', () => {
  const y = new Float64Array(6);
  const table = freeze(Float64Array.of(1, 2, 3, 4, 5, 6), 3, 2, 'f32');
  embeddingForward(y, table, Int32Array.of(2, 0, 2), 3);
  assertBitEqual(y, Float64Array.of(5, 6, 1, 2, 5, 6));
  assert.throws(() => embeddingForward(y, table, Int32Array.of(3, 0, 0), 3), /token id 3 of a vocabulary of 3/);
});

test('axpy and the sum of squares by hand', () => {
  const y = Float64Array.of(1, 2);
  axpy(y, Float64Array.of(10, 20), -0.5);
  assertBitEqual(y, Float64Array.of(-4, -8));
  assert.equal(sumSquares(y), 80);
  assert.equal(sumSquares(new Float64Array(0)), 0);
});

test("AdamW's first step has the size of the learning rate, and decay ignores the gradient", () => {
  const options = {
    learningRate: 0.1,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 0,
    weightDecay: 0.5,
    step: 1,
    gradientScale: 2,
  };
  const [w, m, v] = [Float64Array.of(1, 1), new Float64Array(2), new Float64Array(2)];
  adamW(w, Float64Array.of(3, -0.25), m, v, options);
  assertClose(w, [0.95 - 0.1, 0.95 + 0.1], 'f64');
  assertClose(m, [0.6, -0.05], 'f64');
  assertClose(v, [0.036, 0.00025], 'f64');
});

test('AdamW with a constant gradient goes on at the learning rate: the moments are corrected', () => {
  const [w, m, v] = [Float64Array.of(0), new Float64Array(1), new Float64Array(1)];
  for (let step = 1; step <= 5; step++) {
    const options = { learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 0, weightDecay: 0, step, gradientScale: 1 };
    adamW(w, Float64Array.of(-4), m, v, options);
  }
  assertClose(w, [0.5], 'f64');
});
