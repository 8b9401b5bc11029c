/** The engine's thread without the thread: steps happen when the test says so, and loads end when the test says so. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import {
  ask,
  loader,
  loop,
  outcomeOf,
  sent,
  SIZE,
  start,
  stats,
  step,
  submit,
} from '../../test/support/engine-loop-world.ts';
import { EspalierError } from '../base/index.ts';
import { GREEDY } from './request.ts';
import type { UnloadReport } from './messages.ts';
import type { WorkerGrammars } from './worker-grammars.ts';

beforeEach(() => start());

test('others decode to their end while a load hangs; then the cold one is answered', async () => {
  submit('cold', 'a');
  submit('base', null);
  await Promise.resolve();
  submit('other', 'b');
  await loader.finish('b');
  while (step());
  assert.deepEqual(outcomeOf('base'), { numTokens: 4, end: 'length' });
  assert.deepEqual(outcomeOf('other'), { numTokens: 4, end: 'length' });
  assert.deepEqual(outcomeOf('cold'), { numTokens: 0, end: null });
  assert.equal(stats().numWaitingForAdapter, 1);
  await loader.finish('a');
  while (step());
  assert.deepEqual(outcomeOf('cold'), { numTokens: 4, end: 'length' });
});

test('a load that ends between two steps of others lets its requests join the next step', async () => {
  submit('base', null, 50);
  for (let n = 0; n < 5; n++) step();
  submit('cold', 'a');
  for (let n = 0; n < 5; n++) step();
  assert.equal(outcomeOf('cold').numTokens, 0);
  await loader.finish('a');
  step();
  assert.equal(outcomeOf('cold').numTokens, 1);
  assert.equal(outcomeOf('base').numTokens, 11);
});

test('a request that has no place in the batch yet already loads its adapter', async () => {
  start(1);
  submit('runs', null, 30);
  step();
  submit('queued', 'a');
  assert.deepEqual(loader.running, ['a']);
  await loader.finish('a');
  assert.equal(stats().numWaiting, 1, 'it waits in the engine, with its adapter ready');
});

test('an adapter stays while its request runs, and is let go however it ends', async () => {
  start(8, SIZE);
  submit('answered', 'a');
  await loader.finish('a');
  submit('waits', 'b');
  step();
  assert.deepEqual(loader.running, [], 'a is in use');
  while (step());
  assert.deepEqual(loader.running, ['b'], 'a has gone');
  await loader.finish('b');
  step();
  submit('third', 'c');
  loop.receive({ type: 'cancel', id: 'waits' });
  assert.deepEqual(loader.running, ['c'], 'b has gone with its cancelled request');
  await loader.finish('c');
  submit('refused', 'd', 100_000);
  loop.receive({ type: 'cancel', id: 'third' });
  await loader.finish('d');
  assert.equal(outcomeOf('refused').end, 'CONTEXT_TOO_LONG');
  assert.equal(stats().residency.ready.heldBytes, 0);
  while (step());
  assert.deepEqual(outcomeOf('third'), { numTokens: 0, end: null });
});

test('a cancelled wait leaves nothing, before and during the load', async () => {
  start(8, SIZE);
  submit('runs', 'a', 50);
  await loader.finish('a');
  submit('before', 'b');
  loop.receive({ type: 'cancel', id: 'before' });
  loop.receive({ type: 'cancel', id: 'runs' });
  assert.deepEqual(loader.running, []);
  submit('during', 'c');
  loop.receive({ type: 'cancel', id: 'during' });
  await loader.finish('c');
  while (step());
  for (const id of ['before', 'during']) assert.deepEqual(outcomeOf(id), { numTokens: 0, end: null });
  const { numRunning, numWaiting, numWaitingForAdapter } = stats();
  assert.deepEqual([numRunning, numWaiting, numWaitingForAdapter], [0, 0, 0]);
});

test('a broken adapter fails its own requests only', async () => {
  submit('base', null);
  submit('broken', 'x');
  await loader.fail('x', new EspalierError('ADAPTER_INVALID', 'no tensors'));
  submit('again', 'x');
  while (step());
  assert.deepEqual(outcomeOf('broken'), { numTokens: 0, end: 'ADAPTER_UNAVAILABLE' });
  assert.deepEqual(outcomeOf('again'), { numTokens: 0, end: 'ADAPTER_UNAVAILABLE' });
  assert.deepEqual(outcomeOf('base'), { numTokens: 4, end: 'length' });
});

test('only so many requests may wait for adapters', () => {
  start(8, SIZE, 2);
  for (const id of ['1', '2', '3']) submit(id, 'a');
  assert.deepEqual(outcomeOf('3').end, 'OVERLOADED');
  assert.deepEqual([outcomeOf('1').end, outcomeOf('2').end], [null, null]);
});

test('one tenant’s wait for cold adapters refuses nobody else', async () => {
  start(8, 100 * SIZE, 4);
  submit('warm', 'resident', 1, 'globex');
  await loader.finish('resident');
  while (step());
  for (const digest of ['a', 'b', 'c', 'd']) submit(digest, digest);
  submit('too many', 'e');
  assert.equal(outcomeOf('too many').end, 'OVERLOADED');
  for (const tenant of ['globex', 'acme']) submit(`at once, ${tenant}`, 'resident', 1, tenant);
  submit('cold', 'f', 1, 'globex');
  while (step());
  for (const tenant of ['globex', 'acme']) assert.equal(outcomeOf(`at once, ${tenant}`).end, 'length');
  assert.equal(outcomeOf('cold').end, null);
  for (const digest of ['a', 'b', 'f']) await loader.finish(digest);
  submit('again', 'e');
  assert.equal(outcomeOf('again').end, null, 'some wait no more');
});

test('only so many requests of a tenant wait for their grammars', async () => {
  start(8, SIZE, 2);
  const ask = (id: string, tenant: string): void => {
    const grammar = { definition: '{}', param: 'guided_json' };
    const prompt = {
      promptTokenIds: Int32Array.of(5),
      adapter: null,
      maxTokens: 1,
      stopTokenIds: [],
      sampling: GREEDY,
    };
    loop.receive({ type: 'submit', request: { id, tenant, ...prompt, grammar }, adapter: null });
  };
  for (const id of ['1', '2', '3']) ask(id, 'acme');
  ask('other', 'globex');
  assert.equal(outcomeOf('3').end, 'OVERLOADED');
  for (const id of ['1', '2', 'other']) assert.equal(outcomeOf(id).end, null, 'it waits');
  await turn();
  // This base takes no grammar, and says so when their turn has come.
  for (const id of ['1', '2', 'other']) assert.equal(outcomeOf(id).end, 'REQUEST_INVALID');
  ask('4', 'acme');
  assert.equal(outcomeOf('4').end, null, 'nobody waits any more');

  const progress = { mask: (bits: Int32Array) => bits.fill(-1) !== undefined, accept: () => false };
  const compiled = { start: () => ({ ...progress, [Symbol.dispose]: () => undefined }) };
  const tenants = new Set<string | null>();
  const compile: WorkerGrammars['compile'] = async (_id, _grammar, tenant) => {
    tenants.add(tenant);
    return compiled;
  };
  start(8, SIZE, 2, { compile, cancel: () => undefined });
  for (const id of ['5', '6', '7', '8', '9']) {
    ask(id, 'acme');
    await turn();
    while (step());
    assert.equal(outcomeOf(id).end, 'length');
  }
  assert.deepEqual([...tenants], ['acme']);
});

test('loading and unloading as questions', async () => {
  const adapter = { digest: 'a', directory: '/x', tenant: 'acme' };
  loop.receive({ type: 'ask', token: 1_000, question: { type: 'pin', adapter } });
  await loader.finish('a');
  assert.deepEqual(sent.at(-1), { type: 'answer', token: 1_000, answer: { sizeBytes: SIZE } });
  loop.receive({ type: 'ask', token: 1_001, question: { type: 'pin', adapter: { ...adapter, digest: 'x' } } });
  await loader.fail('x', new EspalierError('ADAPTER_INVALID', 'no tensors'));
  const refused = sent.at(-1);
  assert.ok(refused?.type === 'refused' && refused.token === 1_001 && refused.error.code === 'ADAPTER_UNAVAILABLE');
  const report = ask<UnloadReport>({
    type: 'ask',
    token: 1_002,
    question: { type: 'unload', digest: 'a', tenant: 'acme' },
  });
  assert.deepEqual(report, { freedBytes: SIZE, inUseBytes: 0, sharedBytes: 0 });
});
