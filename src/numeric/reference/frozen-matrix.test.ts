import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normalArray } from '../../../test/support/random-arrays.ts';
import { assertBitEqual } from '../compare.ts';
import { freeze, roundHalfToEven, thaw, valuesOf } from './frozen-matrix.ts';

test('f32 keeps the values and copies them', () => {
  const weight = Float64Array.of(0.1, -2, 3, 1e-300);
  const frozen = freeze(weight, 2, 2, 'f32');
  weight[0] = 7;
  thaw(frozen)[1] = 8;
  assertBitEqual(thaw(frozen), Float64Array.of(0.1, -2, 3, 1e-300));
  assert.deepEqual([frozen.out, frozen.in, frozen.format], [2, 2, 'f32']);
});

test('bf16 rounds to the nearest, ties to even', () => {
  // bfloat16 has 8 bits of significand: neighbours of 1 are 2⁻⁷ apart.
  const weight = Float64Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -0.1);
  assertBitEqual(thaw(freeze(weight, 1, 4, 'bf16')), Float64Array.of(1, 1 + 2 ** -6, 1 + 2 ** -7, -0.10009765625));
});

test('int8 has one scale a row, rounds half to even and keeps zeros', () => {
  const weight = Float64Array.of(127, 2.5, -3.5, 0.49, 254, 3, -1, 1.01, 0, 0, 0, 0);
  const expected = Float64Array.of(127, 2, -4, 0, 254, 4, 0, 2, 0, 0, 0, 0);
  assertBitEqual(thaw(freeze(weight, 3, 4, 'int8')), expected);
});

test('int8 is within half a step of every weight, and exact at the peak', () => {
  const weight = normalArray(11 * 17, 'w').map(Math.fround);
  const values = valuesOf(freeze(weight, 11, 17, 'int8'));
  for (let o = 0; o < 11; o++) {
    const row = weight.subarray(o * 17, (o + 1) * 17);
    const peak = row.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    for (const [i, w] of row.entries()) {
      const limit = Math.abs(w) === peak ? peak * 1e-6 : (peak / 254) * (1 + 1e-4);
      assert.ok(Math.abs(values[o * 17 + i] - w) <= limit, `row ${o}, column ${i}`);
    }
  }
});

test('halves go to the even neighbour', () => {
  const halves = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 126.5, 2.4999, -2.5001, 3];
  assert.deepEqual(halves.map(roundHalfToEven), [-2, -2, -0, 0, 2, 2, 126, 2, -3, 3]);
});

test('a wrong length and a foreign matrix are refused', () => {
  assert.throws(() => freeze(new Float64Array(5), 2, 3, 'f32'), /weight has 5 elements, expected 6/);
  assert.throws(() => thaw({ out: 1, in: 1, format: 'f32' }), /the kernel set that made it/);
});
