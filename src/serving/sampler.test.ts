import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../base/index.ts';
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
