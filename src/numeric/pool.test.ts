import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../base/index.ts';
import type { Floats } from './kernels.ts';
import { BufferPool } from './pool.ts';

const MIB = 2 ** 20;

test('bytes that were given back are lent again', () => {
  const pool = new BufferPool();
  const first = pool.take(1000);
  assert.equal(first.length, 1000);
  pool.give(first);
  const second = pool.take(990);
  assert.equal(second.length, 990);
  assert.deepEqual([second.buffer, second.byteOffset], [first.buffer, first.byteOffset]);
  assert.equal(pool.bytes, MIB);
  assert.equal(pool.peakLentBytes, 4032);
});

test('buffers that are lent at once never share memory, whatever is taken and given', () => {
  const rng = Rng.fromSeed(0, 'pool');
  for (const precision of ['f32', 'f64'] as const) {
    const pool = new BufferPool(precision);
    const lent: { readonly values: Floats; readonly mark: number }[] = [];
    for (let turn = 0; turn < 3000; turn++) {
      if (lent.length > 0 && rng.nextBelow(100) < 48) {
        const [{ values, mark }] = lent.splice(rng.nextBelow(lent.length), 1);
        assert.ok(values.every((value) => value === mark));
        pool.give(values);
      } else {
        const values = pool.take(rng.nextBelow(20) === 0 ? rng.nextBelow(300_000) : rng.nextBelow(500));
        lent.push({ values: values.fill(turn), mark: turn });
      }
    }
    for (const { values, mark } of lent) {
      assert.ok(values.every((value) => value === mark));
      pool.give(values);
    }
    // Everything is one gap a slab again: what filled all of them fits.
    const { bytes } = pool;
    pool.give(pool.take(MIB / 8));
    assert.equal(pool.bytes, bytes);
  }
});

test('no values are a buffer too', () => {
  const pool = new BufferPool();
  const [nothing, something] = [pool.take(0), pool.take(3)];
  assert.equal(nothing.length, 0);
  pool.give(nothing);
  pool.give(something);
});

test('bytes that are not asked for any more are freed after some steps', () => {
  const pool = new BufferPool();
  pool.give(pool.take(5_000_000));
  const { bytes } = pool;
  for (let step = 0; step < 4; step++) pool.endStep();
  assert.equal(pool.bytes, bytes);
  const held = pool.take(100);
  for (let step = 0; step < 3; step++) pool.endStep();
  assert.equal(pool.bytes, bytes, 'what is in use stays');
  pool.give(held);
  for (let step = 0; step < 3; step++) pool.endStep();
  assert.equal(pool.bytes, 0);
});

test('what the pool never lent, or has back, is refused', () => {
  const pool = new BufferPool();
  assert.throws(() => pool.give(new Float32Array(4)), /never lent/);
  const [once, inside] = [pool.take(4), pool.take(64)];
  pool.give(once);
  assert.throws(() => pool.give(once), /never lent/);
  assert.throws(() => pool.give(inside.subarray(16)), /never lent/);
});

test('steps of many sizes, also rising ones, hold little more than the largest of them', () => {
  const pool = new BufferPool();
  const largest = 500_000;
  let mostBytes = 0;
  for (const part of [0.7, 0.75, 0.85, 0.9, 1, 0.8, 0.95, 1]) {
    // Saved activations of three widths, with temporary ones between them, as a layer makes them.
    const saved: Floats[] = [];
    for (let layer = 0; layer < 30; layer++) {
      for (const width of [1, 0.3, 2.5]) {
        const temporary = pool.take(Math.round(0.5 * part * largest));
        saved.push(pool.take(Math.round(width * part * largest)));
        pool.give(temporary);
      }
    }
    mostBytes = Math.max(mostBytes, pool.bytes);
    for (const buffer of saved.reverse()) pool.give(buffer);
    pool.endStep();
  }
  const needed = pool.peakLentBytes;
  assert.ok(mostBytes <= 1.15 * needed, `${mostBytes} bytes for ${needed}`);
});

test('the smallest gap that is long enough is used first', () => {
  const pool = new BufferPool();
  const [wide, , narrow] = [pool.take(160), pool.take(16), pool.take(48), pool.take(16)];
  pool.give(narrow);
  pool.give(wide);
  assert.equal(pool.take(40).byteOffset, narrow.byteOffset);
  assert.equal(pool.take(40).byteOffset, wide.byteOffset);
});
