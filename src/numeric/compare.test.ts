import assert, { AssertionError } from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../base/index.ts';
import { assertBitEqual, assertClose, compareToReference, expectZero, TOLERANCES } from './compare.ts';

const rng = Rng.fromSeed(1, 'compare');
const reference = Float64Array.from({ length: 101 }, () => rng.nextNormal());
const close = reference.map((value) => value * (1 + 1e-7));

const fails = (actual: ArrayLike<number>, expected: ArrayLike<number>, message: RegExp): void => {
  assert.equal(compareToReference(actual, expected, 'f32Kernel').passes, false);
  assert.throws(() => assertClose(actual, expected, 'f32Kernel', 'y'), { name: 'AssertionError', message });
};

test('equal and close values pass, and the error is relative to the norm', () => {
  assert.deepEqual(compareToReference(reference, reference, 0), { passes: true, error: 0, tolerance: 0, message: '' });
  const { passes, error, tolerance } = compareToReference(close, reference, 'f32Kernel');
  assert.ok(passes && Math.abs(error - 1e-7) < 1e-12 && tolerance === TOLERANCES.f32Kernel);
  assert.equal(compareToReference([3, 4.5], [3, 4], 1).error, 0.1);
  assertClose(close, reference, 'f32Kernel');
});

test('the error decides, one way on each side of the tolerance', () => {
  assert.equal(compareToReference([1.25], [1], 0.25).passes, true);
  assert.equal(compareToReference([1.25], [1], 0.2499).passes, false);
});

test('mutant: one NaN, wherever it is', () => {
  for (const at of [0, 50, 100]) {
    const actual = close.with(at, NaN);
    fails(actual, reference, new RegExp(`^y: relative error NaN.*element ${at} of 101 is NaN`));
    fails(reference, close.with(at, NaN), /NaN/);
  }
});

test('mutant: infinity on either side', () => {
  fails(close.with(3, Infinity), reference, /element 3 of 101 is Infinity/);
  fails(close, close.with(3, -Infinity), /-Infinity/);
  fails(close.with(3, Infinity), close.with(3, Infinity), /NaN/);
});

test('mutant: nothing to compare, and other lengths', () => {
  fails([], [], /nothing to compare/);
  fails([], reference, /0 values, the reference has 101/);
  fails(close.subarray(1), reference, /100 values/);
  fails(reference, close.subarray(1), /101 values/);
});

test('mutant: zeros on either side', () => {
  fails(new Float32Array(101), reference, /relative error 1 /);
  fails(new Float32Array(101), new Float32Array(101), /a reference of zeros/);
});

test('mutant: the right values in a wrong order, or with wrong signs', () => {
  const swapped = close.with(7, close[8] ?? 0).with(8, close[7] ?? 0);
  fails(swapped, reference, /element [78] of 101/);
  fails(close.toReversed(), reference, /relative error/);
  fails(
    close.map((value) => -value),
    reference,
    /relative error 2/,
  );
});

test('mutant: one wrong element among many is named', () => {
  fails(close.with(42, (reference[42] ?? 0) + 1e-3), reference, /element 42 of 101 is/);
});

test('expectZero accepts zeros only', () => {
  expectZero([0, -0]);
  for (const wrong of [[], [0, 1e-300], [NaN]]) assert.throws(() => expectZero(wrong), AssertionError);
});

test('assertBitEqual tells apart what == does not', () => {
  assertBitEqual(Float32Array.of(1, -0, NaN), Float32Array.of(1, -0, NaN));
  const payload = new Float32Array(Uint32Array.of(0x7fc00001).buffer);
  const wrong: readonly [Float32Array, Float32Array | Float64Array, RegExp][] = [
    [Float32Array.of(0), Float32Array.of(-0), /element 0 of 1 differs in its bits/],
    [payload, Float32Array.of(NaN), /0100c07f|7fc00001/],
    [Float32Array.of(1, 1), Float32Array.of(1, 1 + 2 ** -23), /element 1 of 2/],
    [Float32Array.of(1), Float32Array.of(1, 2), /1 values, expected 2/],
    [Float32Array.of(), Float32Array.of(), /nothing to compare/],
    [Float32Array.of(1), Float64Array.of(1), /two types/],
  ];
  for (const [a, b, message] of wrong) assert.throws(() => assertBitEqual(a, b), { name: 'AssertionError', message });
});

test('assertBitEqual compares views, not their buffers', () => {
  const whole = Float32Array.of(1, 2, 3, 2);
  assertBitEqual(whole.subarray(1, 2), whole.subarray(3, 4));
  assert.throws(() => assertBitEqual(whole.subarray(0, 1), whole.subarray(1, 2)), AssertionError);
});
