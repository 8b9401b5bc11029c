import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupByTokens, packExamples } from './pack.ts';

const example = (tokenIds: number[], lossWeights: number[]) => ({
  tokenIds: Int32Array.from(tokenIds),
  lossWeights: Float32Array.from(lossWeights),
});

test('examples lie end to end; each row predicts the next token of its own example', () => {
  const batch = packExamples([example([5, 6, 7], [0, 1, 1]), example([8, 9], [0, 0.5])]);
  assert.deepEqual([...batch.tokenIds_T], [5, 6, 7, 8, 9]);
  assert.deepEqual([...batch.positions_T], [0, 1, 2, 0, 1]);
  assert.deepEqual([...batch.segmentStarts_X], [0, 0, 0, 3, 3]);
  assert.deepEqual([...batch.lossRows_N], [0, 1, 3]);
  assert.deepEqual([...batch.targets_N], [6, 7, 9]);
  assert.deepEqual([...batch.weights_N], [1, 1, 0.5]);
  assert.equal(batch.weightSum, 2.5);
});

test('the weight of the first token never counts: nothing predicts it, least of all the example before', () => {
  const batch = packExamples([example([1, 2], [1, 1]), example([3, 4], [1, 0])]);
  assert.deepEqual([...batch.lossRows_N], [0]);
});

test('groups hold whole examples, in order, none lost, none over the limit but one that is alone', () => {
  const lengths = [3, 3, 3, 20, 1, 9, 1];
  const groups = groupByTokens(lengths, 10);
  assert.deepEqual(groups, [
    [0, 3],
    [3, 4],
    [4, 6],
    [6, 7],
  ]);
  assert.deepEqual(groupByTokens([], 10), []);
});

test('sequences of one example are segments of their own: no row predicts the next sequence', () => {
  const pair = { ...example([5, 6, 7, 5, 8], [0, 1, 1, 1, 1]), ends: [3, 5] };
  const batch = packExamples([pair, example([1, 2], [0, 1])]);
  assert.deepEqual([...batch.positions_T], [0, 1, 2, 0, 1, 0, 1]);
  assert.deepEqual([...batch.segmentStarts_X], [0, 0, 0, 3, 3, 5, 5]);
  assert.deepEqual([...batch.lossRows_N], [0, 1, 3, 5]);
  assert.deepEqual([...batch.lossEnds_S], [2, 3, 4]);
});
