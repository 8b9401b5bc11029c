import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from './rng.ts';

test('a generator that is restored from its state goes on with the same numbers', () => {
  const rng = Rng.fromSeed(7, 'order');
  for (let i = 0; i < 100; i++) rng.nextUint32();
  const copy = Rng.fromState(rng.state);
  for (let i = 0; i < 100; i++) assert.equal(copy.nextFloat(), rng.nextFloat());
});

test('seeds and streams give different numbers, also seeds beyond 32 bits', () => {
  const first = (seed: number, stream: string): number => Rng.fromSeed(seed, stream).nextUint32();
  const values = [first(0, ''), first(1, ''), first(2 ** 32, ''), first(0, 'a'), first(0, 'b'), first(1, 'a')];
  assert.equal(new Set(values).size, values.length);
});

test('floats are uniform, normals have mean 0 and variance 1', () => {
  const rng = Rng.fromSeed(1);
  const n = 100_000;
  let [sum, normalSum, squares] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    sum += rng.nextFloat();
    const x = rng.nextNormal();
    normalSum += x;
    squares += x * x;
  }
  // Five standard errors of each mean.
  assert.ok(Math.abs(sum / n - 0.5) < (5 * Math.sqrt(1 / 12)) / Math.sqrt(n));
  assert.ok(Math.abs(normalSum / n) < 5 / Math.sqrt(n));
  assert.ok(Math.abs(squares / n - 1) < (5 * Math.SQRT2) / Math.sqrt(n));
});

test('a shuffle keeps every item and depends on the seed alone', () => {
  const items = Array.from({ length: 50 }, (_, i) => i);
  const shuffled = Rng.fromSeed(3).shuffle([...items]);
  assert.notDeepEqual(shuffled, items);
  assert.deepEqual(
    shuffled.toSorted((a, b) => a - b),
    items,
  );
  assert.deepEqual(Rng.fromSeed(3).shuffle([...items]), shuffled);
});
