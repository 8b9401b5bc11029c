import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedMemory } from './shared-memory.ts';

test('what was given back is used again, by whatever is about as large, and holds nothing of before', () => {
  const memory = new SharedMemory();
  const first = memory.take(1_000_000);
  assert.ok(first.byteLength >= 1_000_000 && first.byteLength <= 1_125_000);
  new Uint8Array(first).fill(7);
  memory.give(first);
  const second = memory.take(first.byteLength - 100);
  assert.equal(second, first);
  assert.ok(new Uint8Array(second).every((value) => value === 0));
  assert.notEqual(memory.take(1_000_000), first, 'it is in use');
});

test('only so much is kept, and nothing that it did not make', () => {
  const memory = new SharedMemory();
  const large = Array.from({ length: 3 }, () => memory.take(32 * 2 ** 20));
  for (const buffer of large) memory.give(buffer);
  const again = Array.from({ length: 3 }, () => memory.take(32 * 2 ** 20));
  assert.deepEqual(
    large.map((buffer) => again.includes(buffer)),
    [true, true, false],
  );
  const odd = new SharedArrayBuffer(1_000_001);
  memory.give(odd);
  assert.notEqual(memory.take(1_000_001), odd);
});

test('memory of nothing', () => {
  assert.ok(new SharedMemory().take(0).byteLength >= 0);
  assert.ok(new SharedMemory().take(1).byteLength >= 1);
});
