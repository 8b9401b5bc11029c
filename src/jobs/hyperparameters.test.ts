import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALL_AUTO, resolveHyperparameters } from './hyperparameters.ts';

const size = (examples: number) => ({ examples, tokens: examples * 10 });

test('what was asked stays, what was left to us depends on the data alone', () => {
  const asked = { batchSize: 8, learningRateMultiplier: 0.5, numEpochs: 4, beta: 'auto' } as const;
  const { batchSize, learningRateMultiplier, numEpochs, beta, batchTokens } = resolveHyperparameters(
    asked,
    'supervised',
    size(100),
  );
  assert.deepEqual([batchSize, learningRateMultiplier, numEpochs, beta, batchTokens], [8, 0.5, 4, null, 80]);
  const auto = (examples: number) => {
    const resolved = resolveHyperparameters(ALL_AUTO, 'supervised', size(examples));
    return [resolved.numEpochs, resolved.batchSize];
  };
  assert.deepEqual([1, 10, 999, 5_000, 50_000, 1_000_000].map(auto), [
    [3, 1],
    [3, 4],
    [3, 4],
    [2, 10],
    [1, 100],
    [1, 256],
  ]);
  assert.deepEqual(auto(500), auto(500));
});

test('a batch is never larger than the data, and is evaluated about five times', () => {
  const resolved = resolveHyperparameters({ ...ALL_AUTO, batchSize: 256, numEpochs: 1 }, 'supervised', size(10));
  assert.deepEqual([resolved.batchSize, resolved.batchTokens, resolved.evaluateEverySteps], [10, 100, 1]);
  const long = resolveHyperparameters({ ...ALL_AUTO, batchSize: 1, numEpochs: 1 }, 'supervised', size(60));
  assert.equal(long.evaluateEverySteps, 12);
});

test('dpo has a beta', () => {
  assert.equal(resolveHyperparameters(ALL_AUTO, 'dpo', size(10)).beta, 0.1);
  assert.equal(resolveHyperparameters({ ...ALL_AUTO, beta: 2 }, 'dpo', size(10)).beta, 2);
});
