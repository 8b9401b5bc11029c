/** Mixes of adapters in the engine's loop: who waits for whom, what is held, and what goes on meanwhile. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import {
  loader,
  loop,
  outcomeOf,
  sent,
  SIZE,
  start,
  stats,
  step,
  submit,
  submitMix,
  untilAllHaveEnded,
} from '../../test/support/engine-loop-world.ts';
import { EspalierError } from '../base/index.ts';

beforeEach(() => start());

test('mixes of tenants take turns', async () => {
  start(8, 100 * SIZE);
  for (const n of [1, 2, 3]) submitMix(`acme ${n}`, [`a${n}`, `b${n}`]);
  submitMix('globex', ['c', 'd'], 4, 'globex');
  for (const digest of ['a1', 'b1', 'a2', 'b2']) await loader.finish(digest);
  assert.deepEqual(loader.running, ['c', 'd'], 'before acme’s third');
});

test('a mix that holds a part while it waits for another is not held up by what waits for that part’s memory', async () => {
  start(8, 2 * SIZE);
  submitMix('mix', ['x', 'y']);
  await loader.finish('x');
  // Nothing fits beside x but y, and both z wait for x's bytes.
  submit('z', 'z');
  submit('other z', 'zz', 4, 'globex');
  await untilAllHaveEnded();
  for (const id of ['mix', 'z', 'other z']) assert.deepEqual(outcomeOf(id), { numTokens: 4, end: 'length' });
});

test('of those that wait for one mix the first begins first, however many they are', async () => {
  start(8, 100 * SIZE, 20_000);
  const ids = Array.from({ length: 5_000 }, (_, n) => String(n));
  for (const id of ids) submitMix(id, ['a', 'b'], 1);
  for (const digest of ['a', 'b']) await loader.finish(digest);
  assert.equal(stats().numWaitingForAdapter, 0);
  step();
  const begun = sent.flatMap((message) => (message.type === 'tokens' ? message.events.map(({ id }) => id) : []));
  assert.deepEqual(begun.slice(0, 4), ids.slice(0, 4));
});

test('a mix begins when all of its parts are ready, is held while it runs, and let go', async () => {
  start(8, 4 * SIZE);
  submitMix('mix', ['a', 'b']);
  submit('base', null);
  await loader.finish('b');
  while (step());
  assert.deepEqual(outcomeOf('base'), { numTokens: 4, end: 'length' });
  assert.equal(outcomeOf('mix').numTokens, 0);
  await loader.finish('a');
  step();
  assert.equal(stats().residency.ready.heldBytes, 2 * SIZE);
  while (step());
  assert.deepEqual(outcomeOf('mix'), { numTokens: 4, end: 'length' });
  assert.equal(stats().residency.ready.heldBytes, 0);
});

test('a mix is made once: then it is an adapter like others, that has its own bytes and can go', async () => {
  start(8, 4 * SIZE);
  submitMix('first', ['a', 'b']);
  submitMix('waiting', ['a', 'b']);
  await loader.finish('a');
  await loader.finish('b');
  while (step());
  const { ready, hits } = stats().residency;
  assert.deepEqual([ready.count, ready.sizeBytes, ready.heldBytes], [3, 4 * SIZE, 0], 'two parts, and their sum');
  submitMix('again', ['a', 'b']);
  assert.equal(stats().residency.hits, hits + 1);
  assert.equal(stats().residency.ready.heldBytes, 2 * SIZE, 'the mix, and not its parts');
  // Two more adapters: the parts go, while a request still uses the mix.
  for (const id of ['c', 'd']) {
    submit(id, id);
    await loader.finish(id);
  }
  assert.equal(stats().residency.ready.numEvicted, 2);
  while (step());
  for (const id of ['first', 'waiting', 'again', 'c', 'd']) {
    assert.deepEqual(outcomeOf(id), { numTokens: 4, end: 'length' });
  }
  assert.deepEqual(
    sent.flatMap((message) => (message.type === 'failed' ? [message.error] : [])),
    [],
  );
  for (const id of ['e', 'f', 'g', 'h']) {
    submit(id, id);
    await loader.finish(id);
  }
  while (step());
  assert.deepEqual([stats().residency.ready.count, stats().residency.ready.heldBytes], [4, 0], 'the mix has gone');
  submitMix('later', ['a', 'b']);
  assert.deepEqual(loader.running, ['a', 'b']);
  await loader.finish('a');
  await loader.finish('b');
  while (step());
  assert.deepEqual(outcomeOf('later'), { numTokens: 4, end: 'length' });
});

test('others decode while a mix is made; it waits meanwhile, and leaves nothing when it is cancelled', async () => {
  start(8, 4 * SIZE);
  loader.holdMixes();
  submitMix('mix', ['a', 'b']);
  submitMix('cancelled', ['b', 'a']);
  for (const digest of ['a', 'b']) await loader.finish(digest);
  submit('base', null);
  submit('part', 'a');
  while (step());
  for (const id of ['base', 'part']) assert.deepEqual(outcomeOf(id), { numTokens: 4, end: 'length' });
  assert.deepEqual(outcomeOf('mix'), { numTokens: 0, end: null });
  assert.deepEqual([stats().numWaitingForAdapter, loader.numMixing], [2, 1]);
  await loader.finishMix();
  loop.receive({ type: 'cancel', id: 'cancelled' });
  while (step());
  assert.deepEqual(outcomeOf('mix'), { numTokens: 4, end: 'length' });
  assert.equal(stats().numWaitingForAdapter, 0);
  assert.equal(stats().residency.ready.heldBytes, 2 * SIZE, 'the parts of the one that is being made');
  await loader.finishMix();
  const { ready } = stats().residency;
  assert.deepEqual([ready.count, ready.sizeBytes, ready.heldBytes], [3, 4 * SIZE, 0]);
});

test('mixes that need the same memory do not wait for one another for ever', async () => {
  start(8, 2 * SIZE);
  submitMix('first', ['a', 'b']);
  submitMix('second', ['c', 'd']);
  submitMix('third', ['a', 'd']);
  await untilAllHaveEnded();
  for (const id of ['first', 'second', 'third']) assert.deepEqual(outcomeOf(id), { numTokens: 4, end: 'length' });
});

test('a part that fails fails its mix and lets the others go; a mix too large for the memory fails at once', async () => {
  start(8, 2 * SIZE);
  submitMix('broken', ['a', 'x']);
  submitMix('cancelled', ['b', 'c']);
  await loader.finish('a');
  await loader.fail('x', new EspalierError('ADAPTER_INVALID', 'no tensors'));
  assert.equal(outcomeOf('broken').end, 'ADAPTER_UNAVAILABLE');
  await loader.finish('b');
  loop.receive({ type: 'cancel', id: 'cancelled' });
  await loader.finish('c');
  submitMix('huge', ['a', 'b', 'c']);
  assert.equal(outcomeOf('huge').end, 'ADAPTER_UNAVAILABLE');
  assert.deepEqual([stats().residency.ready.heldBytes, stats().numWaitingForAdapter], [0, 0]);
});
