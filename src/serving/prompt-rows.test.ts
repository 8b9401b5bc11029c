/** What requests read of their prompts: log-probabilities and vectors are those of a plain forward pass, whatever else runs. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { forwardHidden } from '../../test/support/forward-logits.ts';
import { plainLogits } from '../../test/support/plain-forward.ts';
import { prefixAdapter, promptAdapter, tokenAdapter } from '../../test/support/served-adapters.ts';
import { randomAdapter } from '../../test/support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../../test/support/tiny-base.ts';
import { BASE_ADAPTER, compileAdapter, composeAdapters, spanHooks, type CompiledAdapter } from '../adapters/index.ts';
import { Rng } from '../base/index.ts';
import { loadBase } from '../model/index.ts';
import { compareToReference } from '../numeric/compare.ts';
import { loadNativeKernels, type Floats } from '../numeric/index.ts';
import { DEFAULT_ENGINE, Engine, type EngineOptions } from './engine.ts';
import { GREEDY, type GenerateRequest, type TokenEvent } from './request.ts';

const folder = mkdtempSync(join(tmpdir(), 'prompt-rows-'));
after(() => rmSync(folder, { recursive: true }));
writeTinyBase(folder);
const base = loadBase(folder, 'tiny', loadNativeKernels({ threads: 1 }), 'f32');
const { vocabSize: V, hiddenSize: D } = base.config;

const lora = (seed: number, targets: readonly string[]): CompiledAdapter =>
  compileAdapter(randomAdapter(tinySites(), { seed, rank: 4, targets }), base);
const [first, second] = [lora(1, ['q_proj', 'o_proj']), lora(2, ['v_proj', 'up_proj'])];
const mix = composeAdapters([
  { adapter: first, weight: 0.5 },
  { adapter: second, weight: -2 },
]);
const { tokenRows } = tokenAdapter(base.config, true, 5);
const adapters: readonly CompiledAdapter[] = [
  BASE_ADAPTER,
  first,
  mix,
  promptAdapter(base.config, 5, 2),
  { ...prefixAdapter(base.config, 3, 3), sites: first.sites, tokenRows },
];

function prompt(seed: number): Int32Array {
  const rng = Rng.fromSeed(seed, 'prompt');
  return Int32Array.from({ length: 1 + rng.nextBelow(50) }, () => rng.nextBelow(V));
}

function request(id: string, seed: number, more: Partial<GenerateRequest>): GenerateRequest {
  const promptTokenIds = prompt(seed);
  return { id, promptTokenIds, adapter: null, maxTokens: 0, stopTokenIds: [], sampling: GREEDY, ...more };
}

function run(
  requests: readonly { readonly request: GenerateRequest; readonly adapter: number }[],
  options: Partial<EngineOptions> = {},
) {
  const engine = new Engine(base, { ...DEFAULT_ENGINE, ...options });
  for (const each of requests) {
    const adapter = each.adapter === 0 ? null : `adapter ${each.adapter}`;
    engine.submit({ ...each.request, adapter }, adapters[each.adapter]);
  }
  const events = new Map<string, TokenEvent[]>();
  while (engine.hasWork) {
    for (const event of stepOf(engine)) events.set(event.id, [...(events.get(event.id) ?? []), event]);
  }
  return events;
}

function stepOf(engine: Engine): readonly TokenEvent[] {
  const { events, failures } = engine.step();
  assert.deepEqual(failures, []);
  return events;
}

const hooksOf = (adapter: number, length: number) => spanHooks([{ begin: 0, end: length, adapter: adapters[adapter] }]);

function logSoftmax(logits_V: Floats): number[] {
  const max = Math.max(...logits_V);
  let sum = 0;
  for (const logit of logits_V) sum += Math.exp(logit - max);
  return [...logits_V].map((logit) => logit - max - Math.log(sum));
}

test('log-probabilities of prompt and answer are a float64 log softmax of a plain forward pass', () => {
  for (const [seed, adapter] of [0, 1, 2, 3, 4, 4, 1].entries()) {
    const asked = request('a', seed, { maxTokens: 5, logprobs: { top: 4, ofPrompt: true } });
    const events = run([{ request: asked, adapter }]).get('a') ?? [];
    const answer = events.flatMap(({ tokenIds }) => tokenIds);
    const whole = [...asked.promptTokenIds, ...answer];
    const logits = plainLogits(base, adapters[adapter], whole);
    const told = [...(events[0].promptLogprobs ?? []), ...events.flatMap(({ logprobs }) => logprobs ?? [])];
    assert.equal(told.length, whole.length - 1);
    assert.ok(
      events.slice(1).every(({ promptLogprobs }) => promptLogprobs === undefined),
      'the prompt is told once',
    );
    for (const [n, { id, logprob, top }] of told.entries()) {
      const expected = logSoftmax(logits[n]);
      assert.equal(id, whole[n + 1]);
      assert.ok(Math.abs(logprob - expected[id]) < 1e-4, `token ${n}: ${logprob}, expected ${expected[id]}`);
      assert.equal(top.length, 4);
      assert.ok(top.every((other) => Math.abs(other.logprob - expected[other.id]) < 1e-4));
      assert.ok(Math.abs(top[0].logprob - Math.max(...expected)) < 1e-4);
    }
  }
});

test('a vector is the mean, or the last, of the final hidden states, with length 1', () => {
  for (const [seed, adapter] of [
    [4, 0],
    [5, 1],
    [6, 2],
  ] as const) {
    for (const embedding of ['mean', 'last'] as const) {
      const asked = request('a', seed, { embedding });
      const events = run([{ request: asked, adapter }]).get('a') ?? [];
      assert.equal(events.length, 1);
      assert.deepEqual([events[0].tokenIds, events[0].finishReason], [[], 'length']);
      const ids = [...asked.promptTokenIds];
      const hidden = forwardHidden(base, ids, hooksOf(adapter, ids.length));
      const pooled = Float64Array.from({ length: D }, (_, d) => {
        const column = ids.map((__, t) => hidden[t * D + d]);
        return embedding === 'last' ? (column.at(-1) ?? NaN) : column.reduce((a, b) => a + b) / ids.length;
      });
      const norm = Math.hypot(...pooled);
      const { passes, message } = compareToReference(
        events[0].embedding ?? [],
        pooled.map((value) => value / norm),
        'f32Long',
      );
      assert.ok(passes, message);
    }
  }
});

test('what is read of a prompt is the same bits alone, in any batch, and cut into any steps', () => {
  const wants: readonly Partial<GenerateRequest>[] = [
    { embedding: 'mean' },
    { embedding: 'last' },
    { maxTokens: 3, logprobs: { top: 2, ofPrompt: true } },
    { maxTokens: 0, logprobs: { top: 0, ofPrompt: true } },
    { maxTokens: 4 },
  ];
  const asked = Array.from({ length: 30 }, (_, n) => ({
    request: request(`${n}`, n % 11, wants[n % wants.length]),
    adapter: n % adapters.length,
  }));
  const strip = (events: readonly TokenEvent[] | undefined) =>
    events?.map((event) => ({ ...event, cachedTokens: 0, queuedMs: 0 }));
  const alone = asked.map((each) => strip(run([each]).get(each.request.id)));
  for (const [maxStepTokens, maxSequences, cacheTokens] of [
    [512, 64, 4096],
    [7, 5, 256],
    [1, 3, 128],
    [64, 64, 160],
  ]) {
    const together = run(asked, { maxStepTokens, maxSequences, cacheTokens });
    assert.equal(together.size, asked.length);
    for (const [
      n,
      {
        request: { id },
      },
    ] of asked.entries())
      assert.deepEqual(strip(together.get(id)), alone[n], `${id}, ${maxStepTokens} rows a step`);
  }
});

test('no token that ends an answer comes before minTokens', () => {
  const greedy = run([{ request: request('a', 8, { maxTokens: 6 }), adapter: 0 }]).get('a') ?? [];
  const [stop] = greedy[1].tokenIds;
  const answered = (minTokens: number): { tokenIds: number[]; reason: unknown } => {
    const more = { maxTokens: 6, stopTokenIds: [stop], minTokens };
    const events = run([{ request: request('a', 8, more), adapter: 0 }]).get('a') ?? [];
    return { tokenIds: events.flatMap(({ tokenIds }) => tokenIds), reason: events.at(-1)?.finishReason };
  };
  assert.equal(answered(0).reason, 'stop');
  const late = answered(4);
  assert.ok(late.tokenIds.length >= 4 && !late.tokenIds.slice(0, 4).includes(stop), JSON.stringify(late));
  // A bias that always wins: it comes as soon as it may.
  for (const minTokens of [0, 1, 4]) {
    const sampling = { ...GREEDY, logitBias: [[stop, 1000] as const] };
    const more = { maxTokens: 6, stopTokenIds: [stop], minTokens, sampling };
    const events = run([{ request: request('a', 8, more), adapter: 0 }]).get('a') ?? [];
    assert.equal(events.flatMap(({ tokenIds }) => tokenIds).length, minTokens);
    assert.equal(events.at(-1)?.finishReason, 'stop');
  }
});

test('a prompt may fill the context when nothing comes after it', () => {
  const engine = new Engine(base, { ...DEFAULT_ENGINE, cacheTokens: 64 });
  const full = (length: number, maxTokens: number | null): GenerateRequest => ({
    ...request(`${length} ${maxTokens}`, 0, { maxTokens, embedding: 'mean' }),
    promptTokenIds: new Int32Array(length),
  });
  for (const [length, maxTokens] of [
    [64, null],
    [64, 1],
    [65, 0],
  ] as const) {
    assert.throws(() => engine.submit(full(length, maxTokens)), { code: 'CONTEXT_TOO_LONG' });
  }
  engine.submit(full(64, 0));
  engine.submit(full(63, null));
  const events: TokenEvent[] = [];
  while (engine.hasWork) events.push(...stepOf(engine));
  assert.deepEqual(
    events.map(({ id, embedding }) => [id, embedding?.length]),
    [
      ['64 0', D],
      ['63 null', D],
    ],
  );
});

test('rows are computed for who reads them, also where their keys and values are cached', () => {
  const engine = new Engine(base, DEFAULT_ENGINE);
  const asked = { promptTokenIds: Int32Array.from({ length: 40 }, (_, n) => n), tenant: 'a' };
  const ask = (id: string, more: Partial<GenerateRequest>): TokenEvent => {
    engine.submit(request(id, 0, { ...asked, ...more }));
    const events: TokenEvent[] = [];
    while (engine.hasWork) events.push(...stepOf(engine));
    return events[0];
  };
  ask('fill', { maxTokens: 1 });
  assert.ok((ask('hit', { maxTokens: 1 }).cachedTokens ?? 0) > 0);
  const { embedding, cachedTokens } = ask('read', { embedding: 'mean' });
  assert.equal(cachedTokens, 0);
  const alone = run([{ request: request('alone', 0, { ...asked, embedding: 'mean' }), adapter: 0 }]).get('alone');
  assert.deepEqual(embedding, alone?.[0].embedding);
});
