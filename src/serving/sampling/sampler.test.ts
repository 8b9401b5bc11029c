import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../../base/index.ts';
import type { SamplingParams } from '../request.ts';
import { sampleToken } from './sampler.ts';

const LOGITS = Float32Array.from([0, 2, 1, 2, -Infinity]);

test('greedy takes the lowest id among equals', () => {
  assert.equal(sampleToken(LOGITS, { temperature: 0, topP: 1, seed: 0 }, Rng.fromSeed(0)), 1);
});

test('frequencies follow softmax(logits / temperature)', () => {
  const temperature = 0.7;
  const rng = Rng.fromSeed(5);
  const n = 50_000;
  const counts = new Float64Array(LOGITS.length);
  for (let i = 0; i < n; i++) {
    const id = sampleToken(LOGITS, { temperature, topP: 1, seed: 0 }, rng);
    counts[id] = counts[id] + 1;
  }
  const weights = [...LOGITS].map((logit) => Math.exp(logit / temperature));
  const total = weights.reduce((a, b) => a + b, 0);
  for (const [id, weight] of weights.entries()) {
    const p = weight / total;
    assert.ok(Math.abs(counts[id] / n - p) <= 5 * Math.sqrt((p * (1 - p)) / n), `token ${id}`);
  }
});

test('the nucleus is the smallest set that reaches topP', () => {
  const logits = Float32Array.from([0.5, 0.3, 0.15, 0.05].map(Math.log));
  const seen = (topP: number): Set<number> => {
    const rng = Rng.fromSeed(1);
    return new Set(Array.from({ length: 2000 }, () => sampleToken(logits, { temperature: 1, topP, seed: 0 }, rng)));
  };
  assert.deepEqual([...seen(0.4)], [0]);
  assert.deepEqual(
    [...seen(0.6)].toSorted((a, b) => a - b),
    [0, 1],
  );
  assert.deepEqual(
    [...seen(0.9)].toSorted((a, b) => a - b),
    [0, 1, 2],
  );
});

/** The tokens that come up in many draws. */
function drawn(logits: Float32Array, params: Partial<SamplingParams>): number[] {
  const rng = Rng.fromSeed(2);
  const whole = { temperature: 1, topP: 1, seed: 0, ...params };
  const seen = new Set(Array.from({ length: 3000 }, () => sampleToken(logits, whole, rng)));
  return [...seen].toSorted((a, b) => a - b);
}

test('topK, minP and topP leave the tokens that they should, together too', () => {
  const logits = Float32Array.from([0.05, 0.4, 0.2, 0.3, 0.05].map(Math.log));
  assert.deepEqual(drawn(logits, { topK: 1 }), [1]);
  assert.deepEqual(drawn(logits, { topK: 3 }), [1, 2, 3]);
  assert.deepEqual(drawn(logits, { topK: 4 }), [0, 1, 2, 3], 'of equals the lower id is kept');
  assert.deepEqual(drawn(logits, { topK: 50 }), [0, 1, 2, 3, 4]);
  assert.deepEqual(drawn(logits, { minP: 0.6 }), [1, 3]);
  assert.deepEqual(drawn(logits, { minP: 1 }), [1]);
  // Of the three that topK leaves, 0.4 of 0.9 and 0.7 of 0.9: the nucleus is over what is left.
  assert.deepEqual(drawn(logits, { topK: 3, topP: 0.7 }), [1, 3]);
  assert.deepEqual(drawn(logits, { topP: 0.7 }), [1, 3]);
  assert.deepEqual(drawn(logits, { topK: 2, topP: 0.5 }), [1]);
  assert.deepEqual(drawn(logits, { minP: 0.3, topP: 0.85 }), [1, 2, 3]);
  assert.deepEqual(drawn(logits, { topK: 2, topP: 0 }), [1]);
});

test('topK keeps exactly the k most probable of many, for every k', () => {
  const rng = Rng.fromSeed(7);
  for (const size of [1, 2, 3, 17, 100]) {
    const logits = Float32Array.from({ length: size }, () => rng.nextBelow(12) / 100);
    const order = [...logits.keys()].toSorted((a, b) => logits[b] - logits[a] || a - b);
    for (let topK = 1; topK <= size; topK += 1 + (size >> 4)) {
      const kept = new Set(order.slice(0, topK));
      for (let n = 0; n < 200; n++) {
        const id = sampleToken(logits, { temperature: 1, topP: 1, seed: 0, topK }, rng);
        assert.ok(kept.has(id), `${id} of ${size}, k = ${topK}`);
      }
      if (topK <= 17) assert.equal(drawn(logits, { topK }).length, topK);
    }
  }
});

test('what is forbidden never comes, and penalties change the greedy choice', () => {
  const context = { tokenIds: [4, 1, 1], numPromptTokens: 1, forbidden: [1, 3] };
  assert.equal(sampleToken(LOGITS, { temperature: 0, topP: 1, seed: 0 }, Rng.fromSeed(0), context), 2);
  const rng = Rng.fromSeed(1);
  const seen = new Set(
    Array.from({ length: 500 }, () => sampleToken(LOGITS, { temperature: 2, topP: 1, seed: 0 }, rng, context)),
  );
  assert.deepEqual(
    [...seen].toSorted((a, b) => a - b),
    [0, 2],
  );
  const penalised = { temperature: 0, topP: 1, seed: 0, presencePenalty: 0.5 };
  assert.equal(sampleToken(LOGITS, penalised, rng, { ...context, forbidden: [] }), 3);
});
