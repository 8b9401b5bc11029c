import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nothingConfig } from '../../../test/support/sequences.ts';
import { BASE_ADAPTER } from '../../adapters/index.ts';
import { KvBlocks } from '../cache/kv-blocks.ts';
import { KvCache } from '../cache/kv-cache.ts';
import { GREEDY } from '../request.ts';
import { Sequence } from '../sequence.ts';
import { planDrafts } from './draft-rows.ts';

const NUM_PROMPT = 6;

/** A running sequence that has all but its last token computed, and repeats itself. */
function looping(cache: KvCache, id: string, maxTokens: number, longestDraft = 16): Sequence {
  const promptTokenIds = Int32Array.from({ length: NUM_PROMPT }, (_, n) => 1 + (n % 2));
  const request = { id, promptTokenIds, adapter: null, maxTokens, stopTokenIds: [], sampling: GREEDY };
  const sequence = new Sequence(request, BASE_ADAPTER, 100, longestDraft);
  cache.begin(sequence);
  cache.extend(sequence, NUM_PROMPT);
  sequence.numComputed = NUM_PROMPT - 1;
  return sequence;
}

function lengthsOf(
  cache: KvCache,
  sequences: readonly Sequence[],
  { numRows = sequences.length, numLeft = 100, numNew = 1 } = {},
): number[] {
  const rows = new Map(sequences.map((sequence) => [sequence, numNew]));
  const drafts = planDrafts(rows, { numRows, numLeft }, cache, sequences.length);
  return sequences.map((sequence) => drafts.get(sequence)?.tokenIds.length ?? 0);
}

const cacheOf = (numTokens: number): KvCache => new KvCache(new KvBlocks(nothingConfig, numTokens, 4));

test('guesses fill a step of few rows in equal parts, and none is made in a full one', () => {
  const cache = cacheOf(400);
  const some = (count: number): Sequence[] =>
    Array.from({ length: count }, (_, n) => looping(cache, `${count} ${n}`, 50));
  assert.deepEqual(lengthsOf(cache, some(1)), [7]);
  assert.deepEqual(lengthsOf(cache, some(2)), [3, 3]);
  assert.deepEqual(lengthsOf(cache, some(3)), [2, 2, 1]);
  assert.deepEqual(lengthsOf(cache, some(8)), [0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(lengthsOf(cache, some(1), { numRows: 6 }), [2], 'a prompt takes rows too');
  assert.deepEqual(lengthsOf(cache, some(1), { numLeft: 1 }), [1], 'the budget');
});

test('no guess goes beyond what the request may have, or before its last token is reached', () => {
  const cache = cacheOf(400);
  for (const maxTokens of [1, 2, 3, 4]) {
    assert.deepEqual(lengthsOf(cache, [looping(cache, `${maxTokens}`, maxTokens)]), [maxTokens - 1]);
  }
  assert.deepEqual(lengthsOf(cache, [looping(cache, 'early', 50)], { numNew: 0 }), [0]);
  assert.deepEqual(lengthsOf(cache, [looping(cache, 'off', 50, 0)]), [0]);
});

test('blocks for guesses are those that running sequences leave', () => {
  // Two blocks of four are taken: two of their positions are free.
  for (const [numTokens, expected] of [
    [8, 2],
    [12, 2],
    [16, 6],
  ]) {
    const cache = cacheOf(numTokens);
    assert.deepEqual(lengthsOf(cache, [looping(cache, 'x', 50)]), [expected], `${numTokens} tokens`);
  }
});
