import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseModelConfig } from '../../model/index.ts';
import { KvBlocks } from './kv-blocks.ts';

const config = parseModelConfig(
  {
    model_type: 'llama',
    vocab_size: 8,
    hidden_size: 8,
    intermediate_size: 4,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
  },
  'config.json',
);

test('room for every token, in whole blocks', () => {
  const blocks = new KvBlocks(config, 100, 16);
  assert.equal(blocks.numBlocks, 7);
  assert.equal(blocks.keys.length, 3);
  assert.equal(blocks.keys[0].length, 7 * 16 * 2 * 2);
  assert.deepEqual(
    [0, 1, 16, 17].map((numTokens) => blocks.blocksFor(numTokens)),
    [0, 1, 1, 2],
  );
});

test('keys and values in bfloat16 take half of the bytes', () => {
  const bytes = (['f32', 'bf16'] as const).map((dtype) => {
    const { keys, values } = new KvBlocks(config, 32, 16, dtype);
    return [...keys, ...values].reduce((sum, { byteLength }) => sum + byteLength, 0);
  });
  assert.deepEqual(bytes, [32 * 2 * 3 * 2 * 2 * 4, 32 * 2 * 3 * 2 * 2 * 2]);
});

test('each block is taken once, and again when it was given back', () => {
  const blocks = new KvBlocks(config, 64, 16);
  const taken = Array.from({ length: 4 }, () => blocks.take());
  assert.deepEqual(new Set(taken), new Set([0, 1, 2, 3]));
  assert.equal(blocks.take(), undefined);
  blocks.give(2);
  assert.equal(blocks.numFree, 1);
  assert.equal(blocks.take(), 2);
});

test('giving back what is not held breaks an invariant', () => {
  const blocks = new KvBlocks(config, 32, 16);
  const block = blocks.take() ?? assert.fail();
  blocks.give(block);
  for (const wrong of [block, 1 - block, -1, 2]) assert.throws(() => blocks.give(wrong), /is held when it is given/);
});
