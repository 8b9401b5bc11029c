import assert from 'node:assert/strict';
import { test } from 'node:test';
import { torchPermutation } from './torch-random.ts';

test('positions are those of torch.randperm with a seeded generator', () => {
  // What torch 2.15.0 on a CPU gives.
  const cases: [seed: number, total: number, expected: number[]][] = [
    [777, 1024, [103, 249, 319, 701, 999, 360, 217, 998]],
    [777, 331776, [96359, 187360, 48337, 166427, 31463, 225426, 58323, 97905]],
    [777, 884736, [96359, 182130, 706995, 382739, 140047, 642054, 367773, 194448]],
  ];
  for (const [seed, total, expected] of cases) {
    assert.deepEqual([...torchPermutation(seed, expected.length, total)], expected, `${seed} of ${total}`);
  }
});

test('a whole permutation has every position once', () => {
  for (const total of [1, 2, 7, 625]) {
    const all = torchPermutation(3, total, total).toSorted();
    assert.deepEqual([...all], [...all.keys()]);
  }
});
