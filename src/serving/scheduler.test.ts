import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { BASE_ADAPTER } from '../adapters/index.ts';
import { parseModelConfig } from '../model/index.ts';
import { KvBlocks } from './kv-blocks.ts';
import { Scheduler } from './scheduler.ts';
import { Sequence } from './sequence.ts';

const config = parseModelConfig(
  {
    model_type: 'llama',
    vocab_size: 8,
    hidden_size: 4,
    intermediate_size: 4,
    num_hidden_layers: 1,
    num_attention_heads: 2,
  },
  'config.json',
);

let blocks: KvBlocks;
beforeEach(() => (blocks = new KvBlocks(config, 64)));

function sequence(id: string, numPrompt: number, maxTokens = 4, adapter: string | null = null): Sequence {
  const sampling = { temperature: 0, topP: 1, seed: 0 };
  const promptTokenIds = new Int32Array(numPrompt);
  return new Sequence({ id, promptTokenIds, adapter, maxTokens, stopTokenIds: [], sampling }, BASE_ADAPTER, 1000);
}

/** One step: what is planned, as `id:rows`, and then computed; a sequence that is caught up gets its next token. */
function step(scheduler: Scheduler): string[] {
  return scheduler.schedule().map(({ sequence: planned, numNew }) => {
    planned.numComputed += numNew;
    if (planned.numComputed === planned.numTokens) planned.tokenIds.push(0);
    return `${planned.request.id}:${numNew}`;
  });
}

test('a long prompt is cut into steps, and holds up nobody who waits for one token', () => {
  const scheduler = new Scheduler({ maxStepTokens: 8, maxSequences: 4 }, blocks);
  scheduler.add(sequence('short', 3));
  assert.deepEqual(step(scheduler), ['short:3']);
  scheduler.add(sequence('long', 20));
  assert.deepEqual(step(scheduler), ['short:1', 'long:7']);
  assert.deepEqual(step(scheduler), ['short:1', 'long:7']);
  assert.deepEqual(step(scheduler), ['short:1', 'long:6']);
  assert.deepEqual(step(scheduler), ['short:1', 'long:1']);
});

test('admission is in order of arrival: what fits does not pass what has to wait for blocks', () => {
  const scheduler = new Scheduler({ maxStepTokens: 64, maxSequences: 4 }, blocks);
  const first = sequence('first', 28);
  scheduler.add(first);
  scheduler.add(sequence('wide', 40));
  scheduler.add(sequence('small', 2));
  assert.deepEqual(step(scheduler), ['first:28']);
  assert.deepEqual([scheduler.numRunning, scheduler.numWaiting], [1, 2]);
  scheduler.remove(first);
  assert.deepEqual(step(scheduler), ['wide:40', 'small:2']);
});

test('no more sequences run than allowed', () => {
  const scheduler = new Scheduler({ maxStepTokens: 64, maxSequences: 2 }, blocks);
  for (const id of ['a', 'b', 'c']) scheduler.add(sequence(id, 2));
  assert.deepEqual(step(scheduler), ['a:2', 'b:2']);
  assert.equal(scheduler.numWaiting, 1);
});

test('rows of one adapter lie together, in order of arrival among themselves', () => {
  const scheduler = new Scheduler({ maxStepTokens: 64, maxSequences: 8 }, new KvBlocks(config, 96));
  for (const [id, adapter] of [
    ['a', 'y'],
    ['b', 'x'],
    ['c', null],
    ['d', 'y'],
    ['e', 'x'],
  ] as const) {
    scheduler.add(sequence(id, 1, 1, adapter));
  }
  assert.deepEqual(step(scheduler), ['c:1', 'b:1', 'e:1', 'a:1', 'd:1']);
});

test('removing a sequence frees its blocks, whether it runs or waits', () => {
  const scheduler = new Scheduler({ maxStepTokens: 4, maxSequences: 1 }, blocks);
  const [runs, waits] = [sequence('runs', 30), sequence('waits', 30)];
  scheduler.add(runs);
  scheduler.add(waits);
  step(scheduler);
  assert.equal(blocks.numFree, 1);
  scheduler.remove(waits);
  assert.equal(blocks.numFree, 1);
  scheduler.remove(runs);
  assert.equal(blocks.numFree, 4);
  assert.deepEqual(scheduler.schedule(), []);
});
