import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstOfEachGroup, shingles, splitBalanced, wordsOf } from './split.ts';

test('words are letters in lower case', () => {
  assert.deepEqual(wordsOf('Re: 50% OFF, naïve-Bayes!'), ['re', 'off', 'naïve', 'bayes']);
});

test('shingles are the runs of words; a short text is one run', () => {
  assert.deepEqual(shingles('a b c d', 3), ['a b c', 'b c d']);
  assert.deepEqual(shingles('A, b', 3), ['a b']);
});

test('items that share a key, also through a third, are one group of which the first is kept', () => {
  const items = [['a'], ['b'], ['c'], ['b', 'c'], ['d'], ['c', 'a']];
  assert.deepEqual(
    firstOfEachGroup(items, (keys) => keys),
    [['a'], ['d']],
  );
  assert.deepEqual(
    firstOfEachGroup([['a'], ['b']], (keys) => keys),
    [['a'], ['b']],
  );
});

const items = Array.from({ length: 100 }, (_, id) => ({ id, label: id % 4 === 0 ? 'rare' : 'frequent' }));

test('parts are balanced, disjoint and decided by the seed', () => {
  const split = splitBalanced(items, ({ label }) => label, { train: 20, valid: 10, test: 14 }, 3);
  for (const [part, size] of [
    ['train', 20],
    ['valid', 10],
    ['test', 14],
  ] as const) {
    assert.equal(split[part].length, size);
    assert.equal(split[part].filter(({ label }) => label === 'rare').length, size / 2);
  }
  const ids = [...split.train, ...split.valid, ...split.test].map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual(
    splitBalanced(items, ({ label }) => label, { train: 20, valid: 10, test: 14 }, 3),
    split,
  );
  assert.notDeepEqual(
    splitBalanced(items, ({ label }) => label, { train: 20, valid: 10, test: 14 }, 4),
    split,
  );
});

test('too few items of a label are an error, never a smaller part', () => {
  assert.throws(() => splitBalanced(items, ({ label }) => label, { train: 60, valid: 0, test: 0 }, 3), {
    code: 'INTERNAL',
    message: /label rare has 25 items left for train, 30 are wanted/,
  });
});
