import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultLearningRate, type RateInputs } from './learning-rate.ts';

const reference: RateInputs = {
  objective: 'sft',
  hiddenSize: 4096,
  rank: 8,
  alpha: 16,
  rslora: false,
  batchTokens: 2048,
};
const rate = (changes: Partial<RateInputs>): number => defaultLearningRate({ ...reference, ...changes });

test('the default rate is QLoRA’s where QLoRA measured it, and follows the rule elsewhere', () => {
  assert.equal(rate({}), 2e-4);
  // Dettmers et al. halve it for models 6,656 and 8,192 wide.
  assert.equal(rate({ hiddenSize: 8192 }), 1e-4);
  assert.equal(rate({ hiddenSize: 576 }), 1.4e-3);
  assert.equal(rate({ rank: 64 }), 2e-4);
  assert.equal(rate({ alpha: 32 }), 1e-4);
  assert.equal(rate({ rslora: true, rank: 4 }), 1e-4);
  assert.equal(rate({ batchTokens: 8192 }), 4e-4);
  assert.equal(rate({ objective: 'dpo' }), 2e-5);
  assert.equal(rate({ hiddenSize: 8 }), 5e-3);
});
