import assert from 'node:assert/strict';
import { test } from 'node:test';
import { centralDifferences, inner } from '../../../test/support/central-differences.ts';
import { normalArray } from '../../../test/support/random-arrays.ts';
import { assertClose } from '../compare.ts';
import { linearCrossEntropy } from './cross-entropy.ts';
import { freeze } from './frozen-matrix.ts';

const [N, D, V] = [4, 5, 7];
const head = freeze(normalArray(V * D, 'head'), V, D, 'f32');
const x = normalArray(N * D, 'x');
const targets = Int32Array.of(0, 6, 3, 3);
const weights = Float64Array.of(1, 0.25, 0, 2);

test('the loss by hand: logits 0 and log 3', () => {
  const w = freeze(Float64Array.of(0, Math.log(3)), 2, 1, 'f32');
  const [losses, dx, isTop] = [new Float64Array(2), new Float64Array(2), new Uint8Array(2)];
  linearCrossEntropy(losses, dx, isTop, Float64Array.of(1, 1), w, Int32Array.of(0, 1), Float64Array.of(1, 10), 2);
  assertClose(losses, [Math.log(4), Math.log(4 / 3)], 'f64');
  assertClose(dx, [0.75 * Math.log(3), -2.5 * Math.log(3)], 'f64');
  assert.deepEqual([...isTop], [0, 1]);
});

test('dx is the central difference of the weighted losses', () => {
  const [losses, dx] = [new Float64Array(N), new Float64Array(N * D).fill(NaN)];
  const loss = (): number => {
    linearCrossEntropy(losses, null, null, x, head, targets, weights, N);
    return inner(losses, weights);
  };
  const expected = centralDifferences(loss, x);
  linearCrossEntropy(losses, dx, null, x, head, targets, weights, N);
  assertClose(dx, expected, 'centralDifference');
});

test('logits beyond exp of a float64 give a finite loss', () => {
  const w = freeze(Float64Array.of(2000, -2000), 2, 1, 'f32');
  const losses = new Float64Array(2);
  linearCrossEntropy(losses, null, null, Float64Array.of(1, 1), w, Int32Array.of(0, 1), Float64Array.of(1, 1), 2);
  assert.deepEqual([...losses], [0, 4000]);
});

test('a target outside of the vocabulary is refused', () => {
  const losses = new Float64Array(1);
  const call = (target: number): void =>
    linearCrossEntropy(losses, null, null, x.subarray(0, D), head, Int32Array.of(target), Float64Array.of(1), 1);
  assert.throws(() => call(V), /target 7 of a vocabulary of 7/);
  assert.throws(() => call(-1), /target -1/);
});
