import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../../base/index.ts';
import { LogprobRow } from './logprobs.ts';

test('log-probabilities are a float64 log softmax, also where exponentials overflow', () => {
  const rng = Rng.fromSeed(1);
  for (const shift of [0, 3000, -3000]) {
    const logits = Float32Array.from({ length: 501 }, () => 5 * rng.nextNormal() + shift);
    const shifted = [...logits].map((logit) => logit - shift);
    const logSum = Math.log(shifted.reduce((sum, logit) => sum + Math.exp(logit), 0));
    const row = new LogprobRow(logits, 7);
    for (const id of [0, 250, 500]) {
      const { logprob } = row.of(id);
      assert.ok(Math.abs(logprob - (shifted[id] - logSum)) < 1e-12, `${shift} ${id}: ${logprob}`);
    }
    const expected = [...logits.keys()].toSorted((a, b) => logits[b] - logits[a]).slice(0, 7);
    const { top } = row.of(3);
    assert.deepEqual(
      top.map(({ id }) => id),
      expected,
    );
    for (const { id, logprob } of top) assert.equal(logprob, row.of(id).logprob);
  }
});

test('of equal logits the lower id comes first; what cannot come is −∞; more than there are is all', () => {
  const { logprob, top } = new LogprobRow(Float32Array.of(1, 2, 2, -Infinity, 2), 3).of(3);
  assert.equal(logprob, -Infinity);
  assert.deepEqual(
    top.map(({ id }) => id),
    [1, 2, 4],
  );
  assert.equal(new LogprobRow(Float32Array.of(1, 2), 20).of(0).top.length, 2);
  assert.deepEqual(new LogprobRow(Float32Array.of(1, 2), 0).of(0).top, []);
});

test('a token keeps its log-probability when others are forbidden afterwards', () => {
  const logits = Float32Array.of(1, 2, 3);
  const before = new LogprobRow(logits, 3).of(1);
  const row = new LogprobRow(logits, 3);
  logits[2] = -Infinity;
  assert.deepEqual(row.of(1), before);
});
