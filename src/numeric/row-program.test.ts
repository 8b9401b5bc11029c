import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../base/index.ts';
import { operationsAt, packRowProgram, type SlotOperations } from './row-program.ts';

const [I, O, rank] = [21, 37, 5];
const random = (name: string, length: number): Float32Array => {
  const rng = Rng.fromSeed(3, name);
  return Float32Array.from({ length }, () => rng.nextNormal());
};
const [a_RI, b_OR] = [random('a', rank * I), random('b', O * rank)];
// Halfway between two bfloat16 the even one is nearest: of 1 and 1 + 2^-7, and of 1 + 2^-7 and 1 + 2^-6.
a_RI.set([1 + 2 ** -8, 1 + 3 * 2 ** -8, -1 - 2 ** -8, 0, -0, 1e-40]);
const sites: SlotOperations[] = [
  {
    slot: 2,
    in: I,
    out: O,
    operations: [
      { kind: 'low-rank-delta', a_RI, b_OR, rank, scale: 2 },
      { kind: 'bias', bias_O: random('bias', O) },
    ],
  },
];

/** Rounds by way of the two neighbours, not of the bits. */
function nearestBf16(value: number): number {
  const below = new Float32Array([value]);
  const bits = new Uint32Array(below.buffer);
  bits[0] &= 0xffff0000;
  const above = new Float32Array(below);
  new Uint32Array(above.buffer)[0] += 0x10000;
  const [toBelow, toAbove] = [Math.abs(value - below[0]), Math.abs(above[0] - value)];
  if (toBelow === toAbove) return (bits[0] & 0x10000) === 0 ? below[0] : above[0];
  return toBelow < toAbove ? below[0] : above[0];
}

test('numbers of low-rank deltas are kept as they are, or rounded to the nearest bfloat16 in half the bytes', () => {
  const [exact, rounded] = (['exact', 'bf16'] as const).map((deltas) => packRowProgram(sites, { deltas }));
  const [delta, bias] = operationsAt(exact, 2);
  const [halved, sameBias] = operationsAt(rounded, 2);
  assert.ok(delta.kind === 'low-rank-delta' && halved.kind === 'low-rank-delta');
  assert.deepEqual([delta.a_RI, delta.b_OR], [a_RI, b_OR]);
  assert.deepEqual([...halved.a_RI], Array.from(a_RI, nearestBf16));
  assert.deepEqual([...halved.b_OR], Array.from(b_OR, nearestBf16));
  assert.notDeepEqual(halved.a_RI, a_RI);
  assert.deepEqual(sameBias, bias, 'nothing else is rounded');
  assert.ok(rounded.bytes.length < 0.7 * exact.bytes.length);
});

test('numbers that are bfloat16 take half the bytes in any case', () => {
  const halves = sites.map((site) => ({
    ...site,
    operations: [
      { kind: 'low-rank-delta', a_RI: a_RI.map(nearestBf16), b_OR: b_OR.map(nearestBf16), rank, scale: 2 } as const,
    ],
  }));
  const [exact, rounded] = (['exact', 'bf16'] as const).map((deltas) => packRowProgram(halves, { deltas }));
  assert.deepEqual(exact, rounded);
});
