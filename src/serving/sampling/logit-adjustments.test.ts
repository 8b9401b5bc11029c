import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adjustedLogits, hasAdjustments, NO_CONTEXT, type SamplingContext } from './logit-adjustments.ts';
import { GREEDY, type SamplingParams } from '../request.ts';

const LOGITS = Float32Array.of(1, -2, 3, 0.5, -0.25);
/** The prompt is 0 1 1; the answer so far 2 1 2 2. */
const CONTEXT: SamplingContext = { tokenIds: [0, 1, 1, 2, 1, 2, 2], numPromptTokens: 3, forbidden: [] };

function adjusted(params: Partial<SamplingParams>, context = CONTEXT): number[] {
  return [...adjustedLogits(LOGITS, { ...GREEDY, ...params }, context)];
}

test('penalties and bias, by hand', () => {
  // OpenAI's are over the answer: token 1 once, token 2 three times; the prompt counts for nothing.
  assert.deepEqual(adjusted({ presencePenalty: 0.5 }), [1, -2.5, 2.5, 0.5, -0.25]);
  assert.deepEqual(adjusted({ frequencyPenalty: 0.5 }), [1, -2.5, 1.5, 0.5, -0.25]);
  assert.deepEqual(adjusted({ presencePenalty: -1, frequencyPenalty: 0.25 }), [1, -1.25, 3.25, 0.5, -0.25]);
  // The repetition penalty is over prompt and answer, once for each token: 0, 1 and 2.
  assert.deepEqual(adjusted({ repetitionPenalty: 2 }), [0.5, -4, 1.5, 0.5, -0.25]);
  const bias = [
    [4, 100],
    [0, -1],
  ] as const;
  assert.deepEqual(adjusted({ logitBias: bias }), [0, -2, 3, 0.5, 99.75]);
  assert.deepEqual(
    adjusted({ repetitionPenalty: 2, presencePenalty: 1, logitBias: bias }),
    [-0.5, -5, 0.5, 0.5, 99.75],
  );
  assert.deepEqual(adjusted({ logitBias: bias }, { ...CONTEXT, forbidden: [4, 2] }), [
    0,
    -2,
    -Infinity,
    0.5,
    -Infinity,
  ]);
  assert.deepEqual([...LOGITS], [1, -2, 3, 0.5, -0.25], 'the row itself is as it was');
});

test('a row is copied only where something is asked of it', () => {
  const neutral = { presencePenalty: 0, frequencyPenalty: 0, repetitionPenalty: 1, logitBias: [], topK: 3, minP: 0.5 };
  assert.equal(hasAdjustments({ ...GREEDY, ...neutral }, NO_CONTEXT), false);
  assert.deepEqual(adjusted(neutral), [...LOGITS]);
  for (const params of [
    { presencePenalty: -1 },
    { frequencyPenalty: 1 },
    { repetitionPenalty: 0.5 },
    { logitBias: [[1, 0]] as const },
  ]) {
    assert.equal(hasAdjustments({ ...GREEDY, ...params }, NO_CONTEXT), true);
  }
  assert.equal(hasAdjustments(GREEDY, { ...NO_CONTEXT, forbidden: [1] }), true);
});
