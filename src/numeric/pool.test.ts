import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../base/index.ts';
import type { Floats } from './kernels.ts';
import { BufferPool } from './pool.ts';
import { Slab } from './slab.ts';

test('a buffer that was given back is lent again, also for another length', () => {
  const pool = new BufferPool();
  const first = pool.take(1000);
  assert.equal(first.length, 1000);
  pool.give(first);
  for (const length of [990, 400, 1000]) {
    const again = pool.take(length);
    assert.deepEqual([again.length, again.buffer, again.byteOffset], [length, first.buffer, first.byteOffset]);
    pool.give(again);
  }
  assert.ok(pool.bytes <= 1000 * 4 + 64);
});

test('buffers that are lent at once never share memory, in any order of lending and giving back', () => {
  const rng = Rng.fromSeed(1, 'pool');
  for (const precision of ['f32', 'f64'] as const) {
    const pool = new BufferPool(precision);
    const lent: Floats[] = [];
    for (let i = 0; i < 3000; i++) {
      if (lent.length > 0 && rng.nextBelow(2) === 0) pool.give(lent.splice(rng.nextBelow(lent.length), 1)[0]);
      else lent.push(pool.take(rng.nextBelow(i % 50 === 0 ? 1e6 : 5000)));
      if (i % 100 === 0) requireApart(lent);
    }
    assert.ok(lent.every((one) => (precision === 'f64') === one instanceof Float64Array));
    for (const one of lent) pool.give(one);
  }
});

function requireApart(lent: readonly Floats[]): void {
  const sorted = lent.filter(({ length }) => length > 0).toSorted((a, b) => a.byteOffset - b.byteOffset);
  for (const buffer of new Set(sorted.map((one) => one.buffer))) {
    const inside = sorted.filter((one) => one.buffer === buffer);
    for (const [i, { byteOffset }] of inside.entries()) {
      const before = inside[i - 1];
      assert.ok(i === 0 || before.byteOffset + before.byteLength <= byteOffset);
    }
  }
}

test('slabs that no step needs any more are freed', () => {
  const pool = new BufferPool();
  pool.give(pool.take(5000));
  const { bytes } = pool;
  assert.ok(bytes > 0);
  for (let step = 0; step < 3; step++) pool.endStep();
  assert.equal(pool.bytes, bytes);
  for (let step = 0; step < 3; step++) pool.endStep();
  assert.equal(pool.bytes, 0);
  assert.equal(pool.peakBytes, bytes);
});

test('a slab with something in it stays, however idle', () => {
  const pool = new BufferPool();
  const kept = pool.take(5000);
  for (let step = 0; step < 10; step++) pool.endStep();
  assert.ok(pool.bytes > 0);
  pool.give(kept);
});

test('a foreign buffer, a part of one, and one that came back already are refused', () => {
  const pool = new BufferPool();
  const lent = pool.take(100);
  assert.throws(() => pool.give(new Float32Array(4)), /never lent/);
  assert.throws(() => pool.give(lent.subarray(50)), /never lent/);
  pool.give(lent);
  assert.throws(() => pool.give(lent), /never lent/);
});

test('steps of many sizes hold what the largest of them needs, however they follow', () => {
  const pool = new BufferPool();
  // As a pass does: many buffers of a few sizes, given back from the last to the first.
  for (const tokens of [425, 465, 380, 490, 300, 512, 410, 500]) {
    const lent = Array.from({ length: 300 }, (_, i) => pool.take(tokens * [576, 192, 1536, 9][i % 4]));
    for (const buffer of lent.toReversed()) pool.give(buffer);
    pool.endStep();
  }
  const needed = 75 * 512 * (576 + 192 + 1536 + 9) * 4;
  assert.ok(pool.peakBytes >= needed && pool.peakBytes <= 1.03 * needed, `${pool.peakBytes} bytes of ${needed}`);
});

test('what comes back is one again with its neighbours, in any order', () => {
  for (const order of [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [2, 1, 0],
  ]) {
    const slab = new Slab(300 * 64);
    const begins = [0, 1, 2].map(() => slab.lend(100 * 64, 1));
    assert.deepEqual(begins, [0, 6400, 12_800]);
    assert.equal(slab.lend(1, 1), undefined);
    for (const index of order) assert.equal(slab.takeBack(begins[index] ?? -1), true);
    assert.ok(slab.isEmpty);
    assert.equal(slab.lend(300 * 64, 2), 0, `given back in the order ${order.join()}`);
  }
});
