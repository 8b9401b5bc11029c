import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../base/index.ts';
import { parseModelConfig } from '../model/index.ts';
import { KvBlocks, kvBytesPerToken } from './kv-blocks.ts';

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
  assert.equal(kvBytesPerToken(config), 2 * 3 * 2 * 2 * 4);
});

test('all or nothing', () => {
  const blocks = new KvBlocks(config, 64, 16);
  assert.equal(blocks.allocate(65), undefined);
  assert.equal(blocks.numFree, 4);
  assert.equal(blocks.allocate(64)?.length, 4);
  assert.equal(blocks.allocate(1), undefined);
});

test('no block is held twice, whatever is taken and given back', () => {
  const blocks = new KvBlocks(config, 320, 16);
  const rng = Rng.fromSeed(1);
  const held: Int32Array[] = [];
  let numRefused = 0;
  for (let round = 0; round < 2000; round++) {
    if (rng.nextFloat() < 0.55) {
      const taken = blocks.allocate(1 + rng.nextBelow(80));
      if (taken) held.push(taken);
      else numRefused++;
    } else if (held.length > 0) {
      const [given] = held.splice(rng.nextBelow(held.length), 1);
      blocks.free(given);
    }
    const all = held.flatMap((part) => [...part]);
    assert.equal(new Set(all).size, all.length);
    assert.ok(all.every((block) => block >= 0 && block < blocks.numBlocks));
    assert.equal(blocks.numFree, blocks.numBlocks - all.length);
  }
  assert.ok(numRefused > 0, 'it was full at times');
});

test('freeing more than there is breaks an invariant', () => {
  const blocks = new KvBlocks(config, 32, 16);
  assert.throws(() => blocks.free(Int32Array.of(0)), /a block is freed once/);
});
