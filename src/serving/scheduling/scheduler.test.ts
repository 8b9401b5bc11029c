import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeSequence, nothingConfig, stepOf } from '../../../test/support/sequences.ts';
import { BASE_ADAPTER, type CompiledAdapter } from '../../adapters/index.ts';
import { auditCache } from '../cache/audit.ts';
import { KvBlocks } from '../cache/kv-blocks.ts';
import { KvCache } from '../cache/kv-cache.ts';
import { Scheduler } from './scheduler.ts';
import type { SchedulerLimits } from './step-plan.ts';

const WIDE: SchedulerLimits = {
  maxStepTokens: 64,
  maxSequences: 8,
  maxWaiting: 100,
  maxWaitingPerTenant: 100,
  maxWaitMs: 1000,
};

function schedulerOf(limits: Partial<SchedulerLimits>, cacheTokens = 64): { scheduler: Scheduler; cache: KvCache } {
  const cache = new KvCache(new KvBlocks(nothingConfig, cacheTokens));
  return { scheduler: new Scheduler({ ...WIDE, ...limits }, cache), cache };
}

const lateOf = (scheduler: Scheduler, nowMs: number): string[] =>
  scheduler.schedule(nowMs).givenUp.map(({ sequence, error }) => `${sequence.request.id} ${error.code}`);

test('a long prompt is cut into steps, and holds up nobody who waits for one token', () => {
  const { scheduler } = schedulerOf({ maxStepTokens: 8 });
  scheduler.add(makeSequence('short', { numPrompt: 3, maxTokens: 8 }), 0);
  assert.deepEqual(stepOf(scheduler), ['short:3']);
  scheduler.add(makeSequence('long', { numPrompt: 20 }), 0);
  assert.deepEqual(stepOf(scheduler), ['short:1', 'long:7']);
  assert.deepEqual(stepOf(scheduler), ['short:1', 'long:7']);
  assert.deepEqual(stepOf(scheduler), ['short:1', 'long:6']);
  assert.deepEqual(stepOf(scheduler), ['short:1', 'long:1']);
});

test('one tenant’s long prompts share the step with another’s short one', () => {
  const { scheduler } = schedulerOf({ maxStepTokens: 8 }, 640);
  for (const id of ['a', 'b', 'c']) scheduler.add(makeSequence(id, { numPrompt: 100, tenant: 'long' }), 0);
  assert.deepEqual(stepOf(scheduler), ['a:8']);
  scheduler.add(makeSequence('short', { numPrompt: 10, tenant: 'short' }), 0);
  assert.deepEqual(stepOf(scheduler), ['a:4', 'short:4']);
  assert.deepEqual(stepOf(scheduler), ['a:4', 'short:4']);
  assert.deepEqual(stepOf(scheduler), ['a:6', 'short:2'], 'what one does not need the other gets');
  scheduler.add(makeSequence('heavy', { numPrompt: 100, tenant: 'heavy', weight: 3 }), 0);
  assert.deepEqual(stepOf(scheduler), ['short:1', 'a:2', 'heavy:5']);
});

test('no more sequences run than allowed, and never more than a step has rows', () => {
  for (const limits of [{ maxSequences: 2 }, { maxStepTokens: 2 }]) {
    const { scheduler } = schedulerOf(limits);
    for (const id of ['a', 'b', 'c']) scheduler.add(makeSequence(id), 0);
    assert.deepEqual(stepOf(scheduler), ['a:1', 'b:1']);
    assert.deepEqual([scheduler.numRunning, scheduler.numWaiting], [2, 1]);
  }
});

test('inside a tenant higher priority begins first, then what came first', () => {
  const { scheduler } = schedulerOf({ maxSequences: 1 });
  for (const [id, priority] of [
    ['a', 0],
    ['b', 2],
    ['c', 1],
    ['d', 2],
    ['e', -1],
  ] as const) {
    scheduler.add(makeSequence(id, { priority, maxTokens: 1 }), 0);
  }
  const begun = Array.from({ length: 5 }, () => stepOf(scheduler).join());
  assert.deepEqual(begun, ['b:1', 'd:1', 'c:1', 'a:1', 'e:1']);
});

test('rows of one adapter lie together, in order of arrival among themselves', () => {
  const { scheduler } = schedulerOf({}, 160);
  for (const [id, adapter] of [
    ['a', 'y'],
    ['b', 'x'],
    ['c', null],
    ['d', 'y'],
    ['e', 'x'],
  ] as const) {
    scheduler.add(makeSequence(id, { adapter }), 0);
  }
  assert.deepEqual(stepOf(scheduler), ['c:1', 'b:1', 'e:1', 'a:1', 'd:1']);
});

test('what has to wait for blocks is not passed by its own tenant, but by others until it is overdue', () => {
  const { scheduler } = schedulerOf({ maxWaitMs: 50 }, 96);
  scheduler.add(makeSequence('first', { numPrompt: 60, maxTokens: 30, tenant: 'a' }), 0);
  scheduler.add(makeSequence('wide', { numPrompt: 40, tenant: 'a' }), 0);
  scheduler.add(makeSequence('own', { tenant: 'a' }), 0);
  scheduler.add(makeSequence('other', { tenant: 'b', maxTokens: 1 }), 0);
  assert.deepEqual(stepOf(scheduler, 0), ['other:1', 'first:60']);
  scheduler.add(makeSequence('late', { tenant: 'b', maxTokens: 1 }), 49);
  assert.deepEqual(stepOf(scheduler, 49), ['first:1', 'late:1']);
  scheduler.add(makeSequence('later', { tenant: 'b', maxTokens: 1 }), 50);
  assert.deepEqual(stepOf(scheduler, 50), ['first:1'], 'now the wide one is owed the next blocks');
});

test('when blocks run out the one that came last goes, waits first in line, and is computed again', () => {
  const { scheduler, cache } = schedulerOf({ maxWaitMs: Infinity }, 64);
  const [a, b, c] = [
    makeSequence('a', { numPrompt: 30, maxTokens: 33 }),
    makeSequence('b', { numPrompt: 15, maxTokens: 33 }),
    makeSequence('c', { numPrompt: 4, tenant: 'other', maxTokens: 1 }),
  ];
  scheduler.add(a, 0);
  scheduler.add(b, 0);
  assert.deepEqual(stepOf(scheduler), ['a:30', 'b:15']);
  assert.deepEqual(stepOf(scheduler), ['a:1', 'b:1']);
  assert.deepEqual(stepOf(scheduler), ['a:1', 'b:1'], 'b has taken the last block');
  const generated = [...b.tokenIds];
  assert.deepEqual(stepOf(scheduler), ['a:1'], 'a needs a third block');
  assert.deepEqual([scheduler.numPreemptions, scheduler.numWaiting, b.numComputed], [1, 1, 0]);
  assert.deepEqual(b.tokenIds, generated, 'what it has said stays');
  auditCache(cache, [a, b]);
  scheduler.add(c, 0);
  assert.deepEqual(stepOf(scheduler), ['a:1'], 'there is no room for both');
  scheduler.remove(a);
  assert.deepEqual(stepOf(scheduler), ['b:2', 'c:4'], 'its first block was still cached');
  scheduler.remove(b);
  assert.equal(cache.numAvailable, 4);
});

test('a row that was planned for who has to go is planned for somebody else', () => {
  const { scheduler } = schedulerOf({ maxStepTokens: 2 }, 80);
  scheduler.add(makeSequence('old', { numPrompt: 48, tenant: 'a' }), 0);
  scheduler.add(makeSequence('young', { numPrompt: 15, tenant: 'b', maxTokens: 60 }), 0);
  let last: string[] = [];
  for (let step = 0; step < 40 && scheduler.numPreemptions === 0; step++) last = stepOf(scheduler);
  assert.deepEqual([last, scheduler.numPreemptions], [['old:2'], 1]);
});

test('of the last one’s tenant the lowest priority goes; the first of all never does', () => {
  const { scheduler } = schedulerOf({}, 80);
  const sequences = [
    makeSequence('oldest', { numPrompt: 15, priority: -9, tenant: 'a', maxTokens: 60 }),
    makeSequence('low', { numPrompt: 15, priority: 0, tenant: 'a', maxTokens: 60 }),
    makeSequence('high', { numPrompt: 15, priority: 5, tenant: 'a', maxTokens: 60 }),
  ];
  for (const sequence of sequences) scheduler.add(sequence, 0);
  for (let step = 0; step < 3; step++) stepOf(scheduler);
  assert.equal(scheduler.numPreemptions, 1);
  assert.deepEqual(
    sequences.map(({ blocks }) => blocks.length),
    [2, 0, 2],
  );
});

test('prefixes that nobody reads go before anybody who runs', () => {
  const { scheduler, cache } = schedulerOf({}, 64);
  scheduler.add(makeSequence('done', { numPrompt: 33, maxTokens: 1 }), 0);
  stepOf(scheduler);
  assert.equal(cache.prefixes.numUnused, 2);
  scheduler.add(makeSequence('a', { numPrompt: 30, maxTokens: 33 }), 0);
  for (let step = 0; step < 25; step++) stepOf(scheduler);
  assert.deepEqual([scheduler.numPreemptions, cache.prefixes.numEvictions], [0, 2]);
});

test('what somebody computed before is not computed again', () => {
  const { scheduler, cache } = schedulerOf({}, 128);
  const promptTokenIds = Int32Array.from({ length: 40 }, (_, i) => i);
  scheduler.add(makeSequence('first', { promptTokenIds, maxTokens: 1 }), 0);
  assert.deepEqual(stepOf(scheduler), ['first:40']);
  const again = makeSequence('again', { promptTokenIds, maxTokens: 1 });
  scheduler.add(again, 0);
  assert.deepEqual(stepOf(scheduler), ['again:8']);
  assert.deepEqual([again.cachedTokens, cache.numHits], [32, 2]);
});

test('what somebody computes now is waited for, block by block', () => {
  const { scheduler } = schedulerOf({ maxStepTokens: 20 }, 320);
  const promptTokenIds = Int32Array.from({ length: 40 }, (_, i) => i);
  const branch = promptTokenIds.with(20, 99);
  scheduler.add(makeSequence('first', { promptTokenIds, maxTokens: 9 }), 0);
  scheduler.add(makeSequence('same', { promptTokenIds, maxTokens: 9 }), 0);
  scheduler.add(makeSequence('other', { promptTokenIds, maxTokens: 9, tenant: 'other' }), 0);
  scheduler.add(makeSequence('branch', { promptTokenIds: branch, maxTokens: 9 }), 0);
  scheduler.add(makeSequence('every row', { promptTokenIds, maxTokens: 9, embedding: 'mean', tenant: 'x' }), 0);
  const steps = Array.from({ length: 8 }, () => stepOf(scheduler));
  const rowsOf = (id: string): number[] =>
    steps.flatMap((step) => step.filter((row) => row.startsWith(`${id}:`)).map((row) => Number(row.split(':')[1])));
  const prompt = (id: string): number => rowsOf(id).reduce((sum, rows) => sum + (rows > 1 ? rows : 0), 0);
  assert.deepEqual(['first', 'same', 'other', 'branch', 'every row'].map(prompt), [40, 8, 40, 24, 40]);
});

test('waited for is only the same prefix of the same tenant and adapter, and only by who would use it', () => {
  const ids = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i);
  const [a, b, c] = [ids(100, 16), ids(200, 16), ids(300, 16)];
  const prompt = (...parts: number[][]): { promptTokenIds: Int32Array } => ({
    promptTokenIds: Int32Array.from([...parts.flat(), 1]),
  });
  for (const [what, options, expected] of [
    ['the same', prompt(a, b), ['x:33']],
    ['the same first block', prompt(a, c), ['x:33']],
    ['another tenant', { ...prompt(a, b), tenant: 'other' }, ['x:33', 'y:33']],
    ['another adapter', { ...prompt(a, b), adapter: 'sha256:other' }, ['x:33', 'y:33']],
    ['every row is needed', { ...prompt(a, b), embedding: 'mean' }, ['x:33', 'y:33']],
    ['another first block, which is cached', prompt(c, b), ['x:33', 'y:17']],
    ['shorter than a block', prompt(), ['x:33', 'y:1']],
  ] as const) {
    const { scheduler } = schedulerOf({ maxStepTokens: 100 }, 640);
    scheduler.add(makeSequence('before', { ...prompt(c), maxTokens: 1 }), 0);
    stepOf(scheduler);
    scheduler.add(makeSequence('x', { ...prompt(a, b), maxTokens: 1 }), 0);
    scheduler.add(makeSequence('y', options), 0);
    assert.deepEqual(stepOf(scheduler).toSorted(), expected, what);
    assert.equal(stepOf(scheduler).length, 1, `${what}: y runs in the next step`);
  }
});

test('positions that an adapter brings cost no rows, and are shared as others are', () => {
  const { scheduler } = schedulerOf({ maxStepTokens: 4 }, 160);
  const shape = [1, 20, 4];
  const tensor = { shape, data: new Float32Array(80) };
  const compiled: CompiledAdapter = {
    ...BASE_ADAPTER,
    virtual: { kind: 'key-values', count: 20, keys_LNK: tensor, values_LNK: tensor },
  };
  const options = { adapter: 'sha256:p', compiled, numPrompt: 6, maxTokens: 1 };
  scheduler.add(makeSequence('a', options), 0);
  assert.deepEqual(stepOf(scheduler), ['a:24'], 'twenty given, four computed');
  assert.deepEqual(stepOf(scheduler), ['a:2']);
  const again = makeSequence('b', options);
  scheduler.add(again, 0);
  assert.deepEqual(stepOf(scheduler), ['b:8'], 'one block of them is there');
  assert.deepEqual(stepOf(scheduler), ['b:2']);
  assert.equal(again.cachedTokens, 0, 'none of the prompt’s own tokens was cached');
});

test('a request whose answer has not begun by its deadline expires; one that has begun does not', () => {
  const { scheduler } = schedulerOf({ maxSequences: 1 });
  const runs = makeSequence('runs', { deadlineMs: 10, maxTokens: 9 });
  scheduler.add(runs, 0);
  scheduler.add(makeSequence('waits', { deadlineMs: 10 }), 5);
  scheduler.add(makeSequence('patient'), 5);
  stepOf(scheduler, 5);
  assert.equal(runs.numGenerated, 1);
  assert.deepEqual(scheduler.schedule(14).givenUp, []);
  assert.deepEqual(lateOf(scheduler, 15), ['waits DEADLINE_EXCEEDED']);
  assert.deepEqual([scheduler.numRunning, scheduler.numWaiting], [1, 1]);
});

test('a deadline ends a prompt that is being read, and one that was preempted: their blocks come back', () => {
  const { scheduler, cache } = schedulerOf({ maxStepTokens: 8, maxSequences: 2 });
  scheduler.add(makeSequence('long', { deadlineMs: 10, numPrompt: 30 }), 0);
  assert.deepEqual(stepOf(scheduler, 0), ['long:8']);
  assert.deepEqual(stepOf(scheduler, 9), ['long:8']);
  assert.deepEqual(lateOf(scheduler, 10), ['long DEADLINE_EXCEEDED']);
  assert.deepEqual([scheduler.numRunning, scheduler.numWaiting], [0, 0]);
  assert.equal(cache.numAvailable, cache.blocks.numBlocks);
  const narrow = schedulerOf({ maxStepTokens: 2 }, 80).scheduler;
  narrow.add(makeSequence('first', { numPrompt: 15, maxTokens: 60 }), 20);
  narrow.add(makeSequence('second', { numPrompt: 40, deadlineMs: 30 }), 20);
  for (let step = 0; step < 80 && narrow.numPreemptions === 0; step++) stepOf(narrow, 25);
  assert.deepEqual([narrow.numPreemptions, narrow.numWaiting], [1, 1]);
  assert.deepEqual(lateOf(narrow, 49), []);
  assert.deepEqual(lateOf(narrow, 50), ['second DEADLINE_EXCEEDED'], 'counted from its arrival');
});

test('who has waited too long gets a place of a tenant that holds more than its part', () => {
  const { scheduler } = schedulerOf({ maxSequences: 4, maxWaitMs: 100 }, 640);
  for (const id of ['a', 'b', 'c', 'd']) scheduler.add(makeSequence(id, { tenant: 'greedy', maxTokens: 90 }), 0);
  stepOf(scheduler, 0);
  for (const id of ['x', 'y', 'z']) scheduler.add(makeSequence(id, { tenant: 'late', maxTokens: 90 }), 10);
  assert.equal(stepOf(scheduler, 109).length, 4);
  assert.equal(scheduler.numPreemptions, 0);
  assert.deepEqual(stepOf(scheduler, 110), ['a:1', 'b:1', 'c:1', 'x:1']);
  assert.deepEqual(stepOf(scheduler, 111), ['a:1', 'b:1', 'x:1', 'y:1']);
  assert.deepEqual(stepOf(scheduler, 112), ['a:1', 'b:1', 'x:1', 'y:1'], 'both have their part');
});

test('nobody goes for an overdue request that could not begin in this step anyway', () => {
  const { scheduler } = schedulerOf({ maxStepTokens: 8, maxSequences: 4, maxWaitMs: 100 }, 1600);
  for (const id of ['a', 'b', 'c']) scheduler.add(makeSequence(id, { tenant: 'greedy', maxTokens: 90 }), 0);
  stepOf(scheduler, 0);
  for (const id of ['x', 'y']) scheduler.add(makeSequence(id, { tenant: 'late', numPrompt: 60 }), 0);
  assert.deepEqual(stepOf(scheduler, 10), ['a:1', 'b:1', 'c:1', 'x:5']);
  assert.deepEqual(stepOf(scheduler, 110), ['a:1', 'b:1', 'c:1', 'x:5'], 'x takes the rows of its tenant');
  assert.equal(scheduler.numPreemptions, 0);
});

test('removing a sequence frees its blocks, whether it runs or waits', () => {
  const { scheduler, cache } = schedulerOf({ maxStepTokens: 4, maxSequences: 1 });
  const [runs, waits] = [makeSequence('runs', { numPrompt: 30 }), makeSequence('waits', { numPrompt: 30 })];
  scheduler.add(runs, 0);
  scheduler.add(waits, 0);
  stepOf(scheduler);
  assert.equal(cache.numAvailable, 3);
  scheduler.remove(waits);
  assert.equal(cache.numAvailable, 3);
  scheduler.remove(runs);
  assert.equal(cache.numAvailable, 4);
  assert.deepEqual(scheduler.schedule(0), { plan: [], givenUp: [] });
});

test('how long a sequence waited for its first step is known', () => {
  const { scheduler } = schedulerOf({ maxSequences: 1 }, 8);
  const [first, second] = ['first', 'second'].map((id) => makeSequence(id, { numPrompt: 4, maxTokens: 1 }));
  scheduler.add(first, 100);
  scheduler.add(second, 105);
  scheduler.schedule(107);
  scheduler.remove(first);
  scheduler.schedule(130);
  scheduler.schedule(150);
  assert.deepEqual([first.queuedMs, second.queuedMs], [7, 25]);
});
