import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitTraining } from './fit-training.ts';
import { countTrainable } from './methods.ts';
import { presetModel } from './presets.ts';

const { config } = presetModel('smollm2-135m');
const trainable = countTrainable(config, 'lora', 8, 'attention');
const needs = { format: 'nf4', rank: 8, batchTokens: 2048, longestTokens: 200 } as const;
const fit = (mebibytes: number, changed: Partial<typeof needs> | { longestTokens?: number } = {}) =>
  fitTraining(config, trainable, { ...needs, ...changed }, mebibytes * 2 ** 20);

test('a large budget takes the whole batch at once and keeps activations', () => {
  const { microBatchTokens, recompute } = fit(16_384);
  assert.deepEqual([microBatchTokens, recompute], [2048, false]);
});

test('a smaller budget takes smaller passes, then computes activations again', () => {
  let [last, lastRecompute] = [2048, false];
  for (const mebibytes of [4096, 2048, 1024, 768, 512, 400]) {
    const { microBatchTokens, recompute, plannedBytes } = fit(mebibytes);
    assert.ok(plannedBytes <= mebibytes * 2 ** 20, `${mebibytes} MiB`);
    assert.ok(recompute || !lastRecompute, 'once activations are computed again, less memory does not keep them');
    if (recompute === lastRecompute) assert.ok(microBatchTokens <= last);
    [last, lastRecompute] = [microBatchTokens, recompute];
  }
  assert.ok(lastRecompute);
  assert.equal(fit(1024).recompute, false);
});

test('the longest example is always paid for, and refused when it does not fit', () => {
  assert.ok(fit(1024, { longestTokens: 1500 }).recompute);
  assert.throws(() => fit(350, { longestTokens: 8000 }), /the longest example has 8000 tokens.*nf4/);
});
