/** One engine, in plain cases; that nothing else changes an answer is identity.test.ts' subject. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forwardLogits } from '../../test/support/forward-logits.ts';
import { adapters, makeRequest, NUM_PROMPTS, outcomeAlone, tinyBase } from '../../test/support/random-requests.ts';
import { BASE_ADAPTER, spanHooks } from '../adapters/index.ts';
import { DEFAULT_ENGINE, Engine } from './engine.ts';
import { GREEDY, type GenerateRequest } from './request.ts';
import { argmax } from './sampling/sampler.ts';

test('adapters answer differently, and answers end in both ways', () => {
  const texts = adapters.map((_, a) => outcomeAlone(4, a).digests.join());
  assert.equal(new Set(texts).size, adapters.length);
  const reasons = new Set(Array.from({ length: NUM_PROMPTS }, (_, p) => outcomeAlone(p, 0).finishReason));
  assert.deepEqual(reasons, new Set(['length', 'stop']));
});

test('alone, a greedy answer is what a forward pass over everything before it says, and ends as asked', () => {
  let numStopped = 0;
  for (let p = 0; p < NUM_PROMPTS; p += 2) {
    for (const a of [0, 3]) {
      const request = makeRequest('whole', p, a);
      const { tokenIds, finishReason } = outcomeAlone(p, a);
      const whole = [...request.promptTokenIds, ...tokenIds];
      const hooks = spanHooks([{ begin: 0, end: whole.length, adapter: adapters[a] }]);
      const [logits] = forwardLogits(tinyBase, [whole], hooks);
      const { vocabSize: V } = tinyBase.config;
      const best = (position: number): number => argmax(logits.subarray(position * V, (position + 1) * V));
      for (const [n, token] of tokenIds.entries()) {
        assert.equal(token, best(request.promptTokenIds.length + n - 1), `prompt ${p}, adapter ${a}, token ${n}`);
        assert.ok(!request.stopTokenIds.includes(token), 'a stop token is not part of the answer');
      }
      if (finishReason === 'length') assert.equal(tokenIds.length, request.maxTokens);
      else assert.ok(request.stopTokenIds.includes(best(whole.length - 1)));
      numStopped += finishReason === 'stop' ? 1 : 0;
    }
  }
  assert.ok(numStopped > 0);
});

const request = (id: string, length: number, more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  ...makeRequest(id, 0, 0),
  promptTokenIds: new Int32Array(length),
  maxTokens: 4,
  ...more,
});

test('what can never be held is refused before it takes anything', () => {
  const engine = new Engine(tinyBase, { ...DEFAULT_ENGINE, cacheTokens: 64, maxWaiting: 2, maxWaitingPerTenant: 2 });
  assert.throws(() => engine.submit(request('long', 60, { maxTokens: 5 })), {
    code: 'CONTEXT_TOO_LONG',
    message: /has 60 tokens.* 64 /,
  });
  assert.throws(() => engine.submit(request('longer', 64, { maxTokens: null })), { code: 'CONTEXT_TOO_LONG' });
  for (const [length, more] of [
    [0, {}],
    [1, { maxTokens: -1 }],
    [1, { weight: 0 }],
    [1, { weight: Infinity }],
    [1, { priority: 0.5 }],
    [1, { deadlineMs: -1 }],
  ] as const) {
    assert.throws(() => engine.submit(request('wrong', length, more)), { code: 'REQUEST_INVALID' });
  }
  engine.submit(request('a', 60));
  engine.submit(request('b', 1));
  assert.throws(() => engine.submit(request('c', 1)), { code: 'OVERLOADED', retryAfterMs: 1000 });
  engine.audit();
  assert.equal(engine.counts.numFreeBlocks, 4);
  engine.cancel('a');
  engine.cancel('b');
  assert.equal(engine.hasWork, false);
});

test('a request that is cancelled holds nothing from then on, and the others go on', () => {
  const engine = new Engine(tinyBase, { ...DEFAULT_ENGINE, maxStepTokens: 16, cacheTokens: 256 });
  for (const id of ['leaves', 'stays', 'waits'])
    engine.submit({ ...request(id, 60, { stopTokenIds: [] }), tenant: id });
  engine.step();
  engine.cancel('leaves');
  engine.cancel('never came');
  engine.audit();
  const ids = new Set<string>();
  while (engine.hasWork) for (const { id } of engine.step().events) ids.add(id);
  assert.deepEqual(ids, new Set(['stays', 'waits']));
  assert.equal(engine.counts.numFreeBlocks, 16);
});

test('a request that is refused keeps nothing of its grammar, and one whose grammar does not start keeps nothing at all', () => {
  const engine = new Engine(tinyBase, { ...DEFAULT_ENGINE, maxWaiting: 1 });
  let [numStarted, numEnded] = [0, 0];
  const progress = { mask: () => true, accept: () => false, [Symbol.dispose]: () => void numEnded++ };
  const grammar = { start: () => (numStarted++, progress) };
  engine.submit(request('first', 4), BASE_ADAPTER, grammar);
  assert.throws(() => engine.submit(request('second', 4), BASE_ADAPTER, grammar), { code: 'OVERLOADED' });
  assert.deepEqual([numStarted, numEnded], [2, 1]);
  engine.cancel('first');
  assert.deepEqual([numEnded, engine.hasWork], [2, false]);
  const broken = { start: () => assert.fail('the grammar does not start') };
  assert.throws(() => engine.submit(request('third', 4), BASE_ADAPTER, broken), /does not start/);
  assert.equal(engine.hasWork, false);
  assert.equal(engine.numWaiting, 0);
  assert.deepEqual(engine.step().events, []);
});

test('a request without a limit fills what there is', () => {
  const engine = new Engine(tinyBase, { ...DEFAULT_ENGINE, cacheTokens: 64 });
  engine.submit(request('open', 50, { maxTokens: null, stopTokenIds: [] }));
  const events = [];
  while (engine.hasWork) events.push(...engine.step().events);
  const tokenIds = events.flatMap((event) => event.tokenIds);
  assert.deepEqual([tokenIds.length, events.at(-1)?.finishReason], [14, 'length']);
});

test('a prompt that was asked before says so, on its first event only', () => {
  const engine = new Engine(tinyBase);
  const cached = ['a', 'b'].map((id) => {
    engine.submit(request(id, 50, { stopTokenIds: [] }));
    const events = [];
    while (engine.hasWork) events.push(...engine.step().events);
    return events.map(({ cachedTokens }) => cachedTokens);
  });
  assert.deepEqual(cached, [
    [0, undefined, undefined, undefined],
    [48, undefined, undefined, undefined],
  ]);
  assert.deepEqual([engine.counts.prefixHits, engine.counts.prefixMisses], [3, 3]);
});

test('an adapter whose numbers are none fails its own requests, whatever they ask for', () => {
  const engine = new Engine(tinyBase);
  const bias_O = { shape: [32], data: new Float32Array(32).fill(NaN) };
  const sick = { ...BASE_ADAPTER, sites: new Map([[tinyBase.sites[3].path, [{ kind: 'bias', bias_O } as const]]]) };
  const progress = { mask: (bits: Int32Array) => bits.fill(-1) !== undefined, accept: () => false };
  const grammar = { start: () => ({ ...progress, [Symbol.dispose]: () => undefined }) };
  const kinds = {
    answer: {},
    sampled: { sampling: { ...GREEDY, temperature: 1, topP: 0.5 } },
    read: { maxTokens: 0, logprobs: { top: 1, ofPrompt: true } },
    mean: { maxTokens: 0, embedding: 'mean' },
    last: { maxTokens: 0, embedding: 'last' },
  } as const;
  for (const [id, kind] of Object.entries(kinds)) {
    engine.submit(request(id, 5, { adapter: 'sha256:sick', ...kind }), sick);
  }
  engine.submit(request('formed', 5, { adapter: 'sha256:sick' }), sick, grammar);
  engine.submit(request('well', 5));
  const { events, failures } = engine.step();
  assert.deepEqual(
    events.map(({ id }) => id),
    ['well'],
  );
  assert.deepEqual(failures.map(({ id }) => id).toSorted(), [...Object.keys(kinds), 'formed'].toSorted());
  for (const { id, error } of failures) assert.equal(error.code, 'ADAPTER_INVALID', `${id}: ${error.message}`);
  engine.audit();
});

test('what a forgotten tenant’s requests compute, begun or not, is found by nobody', () => {
  const engine = new Engine(tinyBase, { ...DEFAULT_ENGINE, maxSequences: 1 });
  const ask = (id: string): GenerateRequest => request(id, 50, { tenant: 'acme', stopTokenIds: [] });
  engine.submit(ask('runs'));
  engine.submit(ask('waits'));
  engine.step();
  engine.forget('acme');
  engine.audit();
  while (engine.hasWork) {
    engine.step();
    engine.audit();
  }
  assert.equal(engine.counts.numFreeBlocks, engine.counts.numBlocks);
  assert.equal(engine.counts.numCachedBlocks, 0);
  engine.submit(ask('later'));
  assert.equal(engine.step().events[0].cachedTokens, 0);
});
