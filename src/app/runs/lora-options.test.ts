import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loraTraining } from './lora-options.ts';
import { TRAINING_METHODS } from './train-methods.ts';

test('how a LoRA begins and learns is in the settings when it is given', () => {
  assert.equal(loraTraining('lora', { freezeA: false, rateRatio: 16 }), undefined);
  assert.deepEqual(loraTraining('qlora', { start: 'pissa', freezeA: true }), { start: 'pissa', freezeA: true });
});

test('it is refused by its flag for a method that has no such matrices', () => {
  for (const method of TRAINING_METHODS) {
    if (!['lora', 'qlora'].includes(method)) {
      assert.throws(() => loraTraining(method, { start: 'eva' }), { code: 'USAGE_INVALID', param: 'start' });
    }
    if (['lora', 'qlora', 'dora'].includes(method)) continue;
    assert.throws(() => loraTraining(method, { rateRatio: 4 }), { code: 'USAGE_INVALID', param: 'rateRatio' });
    assert.throws(() => loraTraining(method, { freezeA: true }), { code: 'USAGE_INVALID', param: 'freezeA' });
  }
});
