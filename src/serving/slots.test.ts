import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import type { CompiledAdapter } from '../adapters/index.ts';
import { fail } from '../base/index.ts';
import { AdapterSlots } from './slots.ts';

let loads: string[];
beforeEach(() => (loads = []));

/** Adapters of 10 bytes, by the name of their folder. */
function load(directory: string): CompiledAdapter {
  if (directory === 'broken') fail('ADAPTER_INVALID', 'broken');
  loads.push(directory);
  return { sites: new Map(), sizeBytes: 10 };
}

/** Uses an adapter for a moment. */
function touch(slots: AdapterSlots, name: string): void {
  using _lease = slots.acquire(name, name);
}

test('an adapter is loaded once, and found again while there is room', () => {
  const slots = new AdapterSlots(load, 100);
  for (const name of ['a', 'b', 'a']) touch(slots, name);
  assert.deepEqual(loads, ['a', 'b']);
  assert.deepEqual([slots.count, slots.sizeBytes], [2, 20]);
});

test('the least recently used goes first', () => {
  const slots = new AdapterSlots(load, 20);
  for (const name of ['a', 'b', 'a', 'c', 'a', 'b']) touch(slots, name);
  assert.deepEqual(loads, ['a', 'b', 'c', 'b']);
  assert.equal(slots.sizeBytes, 20);
});

test('what is in use stays, beyond the budget too, and goes when its last user does', () => {
  const slots = new AdapterSlots(load, 15);
  const first = slots.acquire('a', 'a');
  const second = slots.acquire('a', 'a');
  const other = slots.acquire('b', 'b');
  assert.equal(first.value, second.value);
  assert.equal(slots.count, 2);
  first[Symbol.dispose]();
  assert.equal(slots.count, 2, 'it has a second user');
  second[Symbol.dispose]();
  assert.equal(slots.count, 1);
  other[Symbol.dispose]();
  assert.deepEqual([slots.count, slots.sizeBytes], [1, 10]);
  assert.throws(() => first[Symbol.dispose](), /released once/);
});

test('an adapter larger than the whole budget is served and then forgotten', () => {
  const slots = new AdapterSlots(load, 5);
  touch(slots, 'a');
  touch(slots, 'a');
  assert.deepEqual(loads, ['a', 'a']);
  assert.equal(slots.count, 0);
});

test('one that cannot be loaded leaves nothing', () => {
  const slots = new AdapterSlots(load, 100);
  assert.throws(() => slots.acquire('x', 'broken'), { code: 'ADAPTER_INVALID' });
  assert.equal(slots.count, 0);
});
