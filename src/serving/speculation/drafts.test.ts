import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drafts, type Draft } from './drafts.ts';

const LOOP = [1, 2, 1, 2, 1, 2];

test('a draft grows while all of it is right, shrinks to what was right, and pauses longer each time that nothing was', () => {
  const drafts = new Drafts(8);
  const propose = (): Draft => drafts.propose(LOOP, 2, 100);
  const lengths = [];
  for (const numRight of [4, 8, 8, 3, 3, 6, 1, 0]) {
    const draft = propose();
    lengths.push(draft.tokenIds.length);
    drafts.judge(draft, numRight);
  }
  assert.deepEqual(lengths, [4, 8, 8, 8, 3, 6, 8, 1]);
  const pauses = [];
  for (let n = 0; n < 8; n++) {
    let pause = 0;
    let draft = propose();
    for (; draft.tokenIds.length === 0; draft = propose()) pause++;
    assert.equal(draft.tokenIds.length, 1);
    pauses.push(pause);
    drafts.judge(draft, 0);
  }
  assert.deepEqual(pauses, [1, 2, 4, 8, 16, 32, 32, 32]);
});

test('no more is guessed than there is room for', () => {
  assert.deepEqual(new Drafts(8).propose(LOOP, 2, 1).tokenIds, [1]);
  assert.deepEqual(new Drafts(8).propose(LOOP, 2, 0).tokenIds, []);
  assert.deepEqual(new Drafts(1).propose(LOOP, 2, 9).tokenIds, [1]);
});

test('a prediction is followed from the first token on, and found again after another word', () => {
  const drafts = new Drafts(4, [10, 11, 12, 13, 14, 15]);
  const next = (...answer: number[]): Draft => drafts.propose([1, 2, 1, ...answer], 3, 2);
  assert.deepEqual(next(), { tokenIds: [10, 11], isPredicted: true });
  assert.deepEqual(next(10), { tokenIds: [11, 12], isPredicted: true });
  assert.deepEqual(next(10, 11), { tokenIds: [12, 13], isPredicted: true });
  assert.deepEqual(next(10, 99, 12), { tokenIds: [], isPredicted: false });
  assert.deepEqual(next(10, 99, 12, 13), { tokenIds: [14, 15], isPredicted: true });
  assert.deepEqual(next(10, 14, 15), { tokenIds: [], isPredicted: false }, 'its end');
  const draft = next(10);
  drafts.judge(draft, 1);
  drafts.judge({ tokenIds: [5], isPredicted: false }, 1);
  assert.deepEqual([drafts.numPredictedRight, drafts.numPredictedWrong], [1, 1]);
});
