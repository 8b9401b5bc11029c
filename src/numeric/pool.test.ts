import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BufferPool } from './pool.ts';

test('a buffer that was given back is lent again, also for a slightly smaller length', () => {
  const pool = new BufferPool();
  const first = pool.take(1000);
  assert.equal(first.length, 1000);
  pool.give(first);
  const second = pool.take(990);
  assert.equal(second.length, 990);
  assert.equal(second.buffer, first.buffer);
  assert.ok(pool.bytes <= 1000 * 4 * 1.125);
});

test('two that are lent at once never share memory', () => {
  const pool = new BufferPool('f64');
  const [a, b] = [pool.take(10), pool.take(10)];
  assert.ok(a instanceof Float64Array);
  assert.notEqual(a.buffer, b.buffer);
});

test('sizes that are not asked for any more are freed after some steps', () => {
  const pool = new BufferPool();
  pool.give(pool.take(5000));
  const { bytes } = pool;
  for (let step = 0; step < 3; step++) pool.endStep();
  assert.equal(pool.bytes, bytes);
  for (let step = 0; step < 3; step++) pool.endStep();
  assert.equal(pool.bytes, 0);
  assert.equal(pool.peakBytes, bytes);
});

test('a foreign buffer is refused', () => {
  assert.throws(() => new BufferPool().give(new Float32Array(4)), /never lent/);
});

test('micro-batches of many sizes hold little more than the largest of them', () => {
  const pool = new BufferPool();
  for (const length of [8000, 7000, 6000, 7500, 5500, 7900, 6400, 8000]) {
    const lent = Array.from({ length: 10 }, () => pool.take(length));
    for (const buffer of lent) pool.give(buffer);
    pool.endStep();
  }
  assert.ok(pool.peakBytes <= 10 * 8000 * 4 * 1.125, `${pool.peakBytes} bytes`);
});

test('a buffer is not lent for much less than it holds', () => {
  const pool = new BufferPool();
  const first = pool.take(8000);
  pool.give(first);
  assert.notEqual(pool.take(4000).buffer, first.buffer);
});
