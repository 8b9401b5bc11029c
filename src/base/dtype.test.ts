import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bf16FromFloat, floatFromBf16, floatFromF16 } from './dtype.ts';

test('bfloat16 rounds to nearest, ties to even, and keeps infinities and NaN', () => {
  assert.equal(floatFromBf16(bf16FromFloat(1)), 1);
  assert.equal(floatFromBf16(bf16FromFloat(-2.5)), -2.5);
  // 1 + 2^-8 lies between 1 and 1 + 2^-7: the even one is 1. 1 + 3·2^-8 lies between 1 + 2^-7 and 1 + 2^-6: the even one is the upper.
  assert.equal(floatFromBf16(bf16FromFloat(1 + 2 ** -8)), 1);
  assert.equal(floatFromBf16(bf16FromFloat(1 + 3 * 2 ** -8)), 1 + 2 ** -6);
  assert.equal(floatFromBf16(bf16FromFloat(Infinity)), Infinity);
  assert.ok(Number.isNaN(floatFromBf16(bf16FromFloat(NaN))));
});

test('every finite binary16 value equals that of Float16Array', () => {
  const halves = new Uint16Array(1);
  for (let bits = 0; bits < 65536; bits++) {
    const value = floatFromF16(bits);
    if (Number.isNaN(value)) continue;
    halves[0] = bits;
    assert.equal(value, new DataView(halves.buffer).getFloat16(0, true), `bits ${bits.toString(16)}`);
  }
});
