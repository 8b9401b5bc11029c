import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../../base/index.ts';
import { OTHER, TopLabels } from './top-labels.ts';

test('a few keys all have their own label', () => {
  const labels = new TopLabels(3, () => assert.fail('none is dropped'));
  for (const key of ['a', 'b', 'c', 'a']) assert.equal(labels.observe(key, 5), key);
});

test('however many keys there are, at most so many have a label, and the heavy ones get theirs', () => {
  const current = new Set<string>();
  const labels = new TopLabels(4, (key) => assert.ok(current.delete(key), key));
  const rng = Rng.fromSeed(1, 'labels');
  let numOther = 0;
  for (let n = 0; n < 20_000; n++) {
    // Three heavy ones among ten thousand, which come after the labels are taken.
    const key = n > 500 && rng.nextFloat() < 0.5 ? `heavy-${rng.nextBelow(3)}` : `light-${rng.nextBelow(10_000)}`;
    const label = labels.observe(key, 10);
    if (label === OTHER) numOther++;
    else {
      assert.equal(label, key);
      current.add(label);
    }
    assert.ok(current.size <= 4);
  }
  for (const key of ['heavy-0', 'heavy-1', 'heavy-2']) assert.ok(current.has(key), key);
  assert.ok(numOther > 5_000);
});

test('what was heavy long ago gives its label up', () => {
  const dropped: string[] = [];
  const labels = new TopLabels(1, (key) => dropped.push(key));
  labels.observe('old', 6e6);
  for (let n = 0; n < 100; n++) labels.observe('new', 1e6);
  assert.deepEqual(dropped, ['old']);
  assert.equal(labels.observe('old', 1), OTHER);
});
