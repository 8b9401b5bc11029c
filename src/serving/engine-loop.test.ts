/** The engine's thread without the thread: steps happen when the test says so, and loads end when the test says so. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { GatedLoader, TestClock } from '../../test/support/gated-loader.ts';
import { writeTinyBase } from '../../test/support/tiny-base.ts';
import { EspalierError } from '../base/index.ts';
import { loadBase } from '../model/index.ts';
import { loadNativeKernels } from '../numeric/index.ts';
import { EngineLoop } from './engine-loop.ts';
import { DEFAULT_ENGINE, Engine } from './engine.ts';
import type { AdapterSource, EngineStats, FromWorker, UnloadReport } from './messages.ts';
import { GREEDY, type GenerateRequest } from './request.ts';
import { AdapterResidency } from './residency/residency.ts';
import { WorkerGrammars } from './worker-grammars.ts';

const folder = mkdtempSync(join(tmpdir(), 'engine-loop-'));
after(() => rmSync(folder, { recursive: true }));
writeTinyBase(folder);
const base = loadBase(folder, 'tiny', loadNativeKernels({ threads: 1 }), 'bf16');
const SIZE = 1_000;

let loader: GatedLoader;
let loop: EngineLoop;
let scheduled: (() => void)[];
let sent: FromWorker[];
let token = 0;

function start(
  maxSequences = 8,
  readyBytes = 3 * SIZE,
  maxWaiting = 10,
  grammars: Pick<WorkerGrammars, 'compile' | 'cancel'> = new WorkerGrammars(null),
): void {
  loader = new GatedLoader(() => ({ sizeBytes: SIZE, fileBytes: 8 }));
  [scheduled, sent] = [[], []];
  const engine = new Engine(base, { ...DEFAULT_ENGINE, maxSequences, cacheTokens: 2_048 });
  const residency = new AdapterResidency(loader, new TestClock(), { readyBytes, hostBytes: 0 });
  const schedule = (step: () => void): unknown => scheduled.push(step);
  loop = new EngineLoop(engine, residency, {
    send: (message) => sent.push(message),
    schedule,
    limits: { maxWaiting, maxWaitingPerTenant: maxWaiting },
    grammars,
  });
}
beforeEach(() => start());

function submit(id: string, adapter: string | null, maxTokens = 4, tenant = 'acme'): void {
  const request: GenerateRequest = {
    id,
    tenant,
    promptTokenIds: Int32Array.of(5, 6, 7),
    adapter,
    maxTokens,
    stopTokenIds: [],
    sampling: GREEDY,
  };
  const source: AdapterSource | null =
    adapter === null ? null : { digest: adapter, directory: '/x', tenant, sizeBytes: SIZE };
  loop.receive({ type: 'submit', request, adapter: source });
}

/** A request for the sum of some adapters. */
function submitMix(id: string, digests: readonly string[], maxTokens = 4, tenant = 'acme'): void {
  const request: GenerateRequest = {
    id,
    tenant,
    promptTokenIds: Int32Array.of(5, 6, 7),
    adapter: digests.join('+'),
    maxTokens,
    stopTokenIds: [],
    sampling: GREEDY,
  };
  const parts = digests.map((digest) => ({
    source: { digest, directory: '/x', tenant, sizeBytes: SIZE },
    weight: 1,
  }));
  loop.receive({ type: 'submit', request, adapter: { digest: digests.join('+'), parts } });
}

function ask<T>(question: Parameters<EngineLoop['receive']>[0] & { type: 'ask' }): T {
  loop.receive(question);
  const answer = sent.findLast((message) => message.type === 'answer' && message.token === question.token);
  assert.ok(answer?.type === 'answer');
  return answer.answer as T;
}
const stats = (): EngineStats => ask({ type: 'ask', token: token++, question: { type: 'stats' } });

/** Runs what is scheduled. @returns whether there was anything */
function step(): boolean {
  const due = scheduled;
  scheduled = [];
  for (const run of due) run();
  return due.length > 0;
}

/** Ends each load and runs each step that there is, until nothing waits and nothing runs. */
async function untilAllHaveEnded(): Promise<void> {
  for (let guard = 0; stats().numWaitingForAdapter > 0 || step(); guard++) {
    assert.ok(guard < 100, 'every request comes to its end');
    for (const digest of loader.running) await loader.finish(digest);
    step();
  }
}

/** Tokens that a request has got, and how it ended. */
function outcomeOf(id: string): { numTokens: number; end: string | null } {
  const outcome = { numTokens: 0, end: null as string | null };
  for (const message of sent) {
    if (message.type === 'failed' && message.id === id) outcome.end = message.error.code;
    if (message.type !== 'tokens') continue;
    for (const event of message.events) {
      if (event.id !== id) continue;
      assert.equal(outcome.end, null, 'nothing follows an end');
      outcome.numTokens += event.tokenIds.length;
      outcome.end = event.finishReason;
    }
  }
  return outcome;
}

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
