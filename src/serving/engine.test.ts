/** The engine's law: whatever runs beside a request, whenever it comes and whoever leaves, its tokens are those that it gets alone. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { forwardLogits } from '../../test/support/forward-logits.ts';
import { randomAdapter } from '../../test/support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../../test/support/tiny-base.ts';
import { BASE_ADAPTER, compileAdapter, spanHooks, type CompiledAdapter } from '../adapters/index.ts';
import { Rng } from '../base/index.ts';
import { loadBase } from '../model/index.ts';
import { loadNativeKernels } from '../numeric/index.ts';
import { DEFAULT_ENGINE, Engine, type EngineOptions } from './engine.ts';
import type { FinishReason, GenerateRequest } from './request.ts';
import { argmax } from './sampler.ts';

const folder = mkdtempSync(join(tmpdir(), 'engine-'));
after(() => rmSync(folder, { recursive: true }));
writeTinyBase(folder);
const base = loadBase(folder, 'tiny', loadNativeKernels({ threads: 1 }), 'bf16');

/** Adapter zero is the base. */
const adapters: readonly CompiledAdapter[] = [
  BASE_ADAPTER,
  ...(['q_proj', 'v_proj o_proj', 'q_proj k_proj v_proj o_proj', 'gate_proj', 'up_proj down_proj'] as const).map(
    (targets, index) => {
      const options = { seed: index, rank: [1, 2, 4, 8, 16][index], targets: targets.split(' ') };
      return compileAdapter(randomAdapter(tinySites(), options), base);
    },
  ),
];

interface Outcome {
  readonly tokenIds: number[];
  finishReason: FinishReason | null;
}

const NUM_PROMPTS = 24;
const LONGEST = 60;
const MAX_NEW = 16;

/** Prompt `p` on adapter `a`: every other one sampled, some with tokens that end it early. */
function makeRequest(id: string, p: number, a: number): GenerateRequest {
  const rng = Rng.fromSeed(p, 'prompt');
  const ids = (count: number): number[] => Array.from({ length: count }, () => rng.nextBelow(base.config.vocabSize));
  const sampling = p % 2 === 0 ? { temperature: 0, topP: 1, seed: 0 } : { temperature: 1, topP: 0.9, seed: p };
  return {
    id,
    promptTokenIds: Int32Array.from(ids(1 + rng.nextBelow(LONGEST))),
    adapter: a === 0 ? null : `adapter ${a}`,
    maxTokens: 1 + rng.nextBelow(MAX_NEW),
    stopTokenIds: p % 3 === 0 ? ids(120) : [],
    sampling,
  };
}

const alone = new Map<string, Outcome>();
function outcomeAlone(p: number, a: number): Outcome {
  const known = alone.get(`${p} ${a}`);
  if (known) return known;
  const engine = new Engine(base, { ...DEFAULT_ENGINE, maxSequences: 1, cacheTokens: LONGEST + MAX_NEW });
  engine.submit(makeRequest('alone', p, a), adapters[a]);
  const outcome: Outcome = { tokenIds: [], finishReason: null };
  while (engine.hasWork) {
    for (const { tokenIds, finishReason } of engine.step()) {
      outcome.tokenIds.push(...tokenIds);
      outcome.finishReason = finishReason;
    }
  }
  alone.set(`${p} ${a}`, outcome);
  return outcome;
}

/** Which adapter the next request names. */
const POPULARITY: Readonly<Record<string, (rng: Rng, index: number) => number>> = {
  distinct: (_, index) => index % adapters.length,
  uniform: (rng) => rng.nextBelow(adapters.length),
  zipf: (rng) => Math.min(adapters.length - 1, Math.floor(1 / (1 - rng.nextFloat())) - 1),
  identical: () => 3,
  skewed: (rng) => (rng.nextFloat() < 0.9 ? 1 : rng.nextBelow(adapters.length)),
};

/** Narrow enough that prompts are cut into pieces, that requests wait for places, and that they wait for blocks. */
function drawOptions(rng: Rng): EngineOptions {
  return {
    maxStepTokens: [1, 2, 5, 16, 64, 512][rng.nextBelow(6)],
    maxSequences: 1 + rng.nextBelow(7),
    cacheTokens: LONGEST + MAX_NEW + rng.nextBelow(160),
    maxWaiting: 100,
  };
}

interface Flight {
  readonly p: number;
  readonly a: number;
  readonly outcome: Outcome;
  isCancelled: boolean;
}

/** One random life of an engine. */
function live(seed: number, popularity: keyof typeof POPULARITY): { numWaited: number; numCancelled: number } {
  const rng = Rng.fromSeed(seed, `schedule ${popularity}`);
  const options = drawOptions(rng);
  const engine = new Engine(base, options);
  const flights = new Map<string, Flight>();
  const numRequests = 14;
  let numWaited = 0;
  for (let numSteps = 0; flights.size < numRequests || engine.hasWork; numSteps++) {
    assert.ok(numSteps < 5000, 'every request comes to its end');
    for (let n = rng.nextBelow(4); n > 0 && flights.size < numRequests; n--) {
      const id = `${flights.size}`;
      const [p, a] = [rng.nextBelow(NUM_PROMPTS), POPULARITY[popularity](rng, flights.size)];
      engine.submit(makeRequest(id, p, a), adapters[a]);
      flights.set(id, { p, a, outcome: { tokenIds: [], finishReason: null }, isCancelled: false });
    }
    if (flights.size > 0 && rng.nextFloat() < 0.1) {
      const id = `${rng.nextBelow(flights.size)}`;
      const flight = flights.get(id);
      if (flight?.outcome.finishReason === null) flight.isCancelled = true;
      engine.cancel(id);
    }
    for (const { id, tokenIds, finishReason } of engine.step()) {
      const flight = flights.get(id);
      assert.ok(flight && !flight.isCancelled, `${id} is in flight`);
      assert.equal(flight.outcome.finishReason, null, `${id} is answered once`);
      flight.outcome.tokenIds.push(...tokenIds);
      flight.outcome.finishReason = finishReason;
    }
    assert.ok(engine.numRunning <= options.maxSequences);
    numWaited += engine.numWaiting;
  }
  for (const [id, { p, a, outcome, isCancelled }] of flights) {
    const expected = outcomeAlone(p, a);
    const what = `request ${id} (prompt ${p}, adapter ${a}), seed ${seed}, ${JSON.stringify(options)}`;
    if (isCancelled) {
      assert.deepEqual(outcome.tokenIds, expected.tokenIds.slice(0, outcome.tokenIds.length), what);
    } else {
      assert.deepEqual(outcome, expected, what);
    }
  }
  assert.deepEqual([engine.numRunning, engine.numWaiting], [0, 0]);
  assert.equal(engine.numFreeBlocks, engine.numBlocks, 'every block came back');
  assert.deepEqual(engine.step(), []);
  return { numWaited, numCancelled: [...flights.values()].filter(({ isCancelled }) => isCancelled).length };
}

for (const popularity of Object.keys(POPULARITY)) {
  test(`random arrivals and departures, ${popularity} adapters: every answer is the one that it is alone`, () => {
    let [numWaited, numCancelled] = [0, 0];
    for (let seed = 0; seed < 10; seed++) {
      const life = live(seed, popularity);
      numWaited += life.numWaited;
      numCancelled += life.numCancelled;
    }
    assert.ok(numWaited > 0 && numCancelled > 0, 'requests had to wait, and some were cancelled');
  });
}

test('adapters answer differently, and answers end in both ways', () => {
  const texts = adapters.map((_, a) => outcomeAlone(4, a).tokenIds.join());
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
      const [logits] = forwardLogits(base, [whole], hooks);
      const { vocabSize: V } = base.config;
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

test('what can never be held is refused before it takes anything', () => {
  const engine = new Engine(base, { ...DEFAULT_ENGINE, cacheTokens: 64, maxWaiting: 2 });
  const request = (id: string, length: number, maxTokens: number): GenerateRequest => ({
    ...makeRequest(id, 0, 0),
    promptTokenIds: new Int32Array(length),
    maxTokens,
  });
  assert.throws(() => engine.submit(request('long', 60, 5)), {
    code: 'CONTEXT_TOO_LONG',
    message: /has 60 tokens.* 64 /,
  });
  assert.throws(() => engine.submit(request('empty', 0, 5)), { code: 'REQUEST_INVALID' });
  engine.submit(request('a', 60, 4));
  engine.submit(request('b', 1, 1));
  assert.throws(() => engine.submit(request('c', 1, 1)), { code: 'OVERLOADED' });
  assert.equal(engine.numFreeBlocks, 4);
  engine.cancel('a');
  engine.cancel('b');
  assert.equal(engine.hasWork, false);
});
