/**
 * The engine's law: whatever runs beside a request, whenever it comes and whoever leaves, whether it was preempted or found its prefix in the
 * cache, whether its tokens were guessed or not, its tokens, its logits and what it reads of its prompt are those that it gets alone, bit for bit.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import {
  adapters,
  addEvent,
  BROKEN_ADAPTER,
  BROKEN_SAMPLER,
  computeDtype,
  emptyOutcome,
  LONGEST,
  makeRequest,
  MAX_NEW,
  MAX_VIRTUAL,
  NUM_PROMPTS,
  outcomeAlone,
  recorder,
  tinyBase,
  type Outcome,
} from '../../test/support/random-requests.ts';
import { Rng, type EspalierError } from '../base/index.ts';
import { canComputeIn } from '../numeric/index.ts';
import { Engine, type EngineOptions } from './engine.ts';
import type { GenerateRequest } from './request.ts';

/** Which adapter the next request names. */
const POPULARITY: Readonly<Record<string, (rng: Rng, index: number) => number>> = {
  distinct: (_, index) => index % adapters.length,
  uniform: (rng) => rng.nextBelow(adapters.length),
  zipf: (rng) => Math.min(adapters.length - 1, Math.floor(1 / (1 - rng.nextFloat())) - 1),
  identical: () => 3,
  skewed: (rng) => (rng.nextFloat() < 0.9 ? 1 : rng.nextBelow(adapters.length)),
};

const pick = <T>(rng: Rng, values: readonly T[]): T => values[rng.nextBelow(values.length)];

/** Narrow enough that prompts are cut into pieces, that requests wait for places, and that blocks run out. */
function drawOptions(rng: Rng): EngineOptions {
  return {
    maxStepTokens: pick(rng, [1, 2, 5, 16, 17, 64, 512]),
    maxSequences: pick(rng, [1, 2, 3, 5, 7, 11, 13]),
    blockSize: pick(rng, [1, 3, 4, 16]),
    cacheTokens: LONGEST + MAX_NEW + MAX_VIRTUAL + rng.nextBelow(60),
    maxWaiting: 100,
    maxWaitingPerTenant: 100,
    maxWaitMs: pick(rng, [30, 300, Infinity]),
    maxDraftTokens: pick(rng, [0, 1, 3, 8]),
  };
}

/** What a request may take for its answer: that, all of it or with a wrong token, or nothing like it. */
function predict(rng: Rng, answer: readonly number[]): Int32Array {
  const prediction = Int32Array.from(answer);
  if (prediction.length > 0 && rng.nextFloat() < 0.5) prediction[rng.nextBelow(prediction.length)] = rng.nextBelow(64);
  return rng.nextFloat() < 0.2 ? prediction.reverse() : prediction;
}

type Fate = 'answered' | 'cancelled' | 'broken' | 'expired' | 'refused';

interface Flight {
  readonly p: number;
  readonly a: number;
  readonly outcome: Outcome;
  readonly isBroken: boolean;
  readonly deadlineMs: number | undefined;
  fate: Fate | null;
}

const COUNTED = ['preemptions', 'prefixHits', 'prefixEvictions', 'draftTokens', 'acceptedDraftTokens'] as const;

/** What happened in some lives. */
interface Happened {
  numWaited: number;
  preemptions: number;
  prefixHits: number;
  prefixEvictions: number;
  draftTokens: number;
  acceptedDraftTokens: number;
  readonly fates: Record<Fate, number>;
}

const NUM_REQUESTS = 8;

/** One random life of an engine. */
function live(seed: number, popularity: keyof typeof POPULARITY, happened: Happened): void {
  const rng = Rng.fromSeed(seed, `schedule ${popularity}`);
  const options = drawOptions(rng);
  let nowMs = 0;
  const { digests, ...parts } = recorder(() => nowMs);
  const engine = new Engine(tinyBase, options, parts);
  const flights = new Map<string, Flight>();
  const submit = (): void => {
    const id = `${flights.size}`;
    const [p, a] = [rng.nextBelow(NUM_PROMPTS), POPULARITY[popularity](rng, flights.size)];
    const chance = rng.nextFloat();
    const deadlineMs = rng.nextFloat() < 0.1 ? 20 : undefined;
    const request: GenerateRequest = {
      ...makeRequest(id, p, a),
      ...(chance < 0.02 && { adapter: 'broken' }),
      ...(chance > 0.98 && { sampling: BROKEN_SAMPLER }),
      tenant: pick(rng, [null, 'acme', 'globex']),
      weight: pick(rng, [0.5, 1, 3]),
      priority: rng.nextBelow(3) - 1,
      deadlineMs,
      ...(rng.nextFloat() < 0.4 && { predictionTokenIds: predict(rng, outcomeAlone(p, a).tokenIds) }),
    };
    const outcome = emptyOutcome();
    const flight: Flight = { p, a, outcome, isBroken: chance < 0.02 || chance > 0.98, deadlineMs, fate: null };
    flights.set(id, flight);
    try {
      engine.submit(request, chance < 0.02 ? BROKEN_ADAPTER : adapters[a]);
    } catch (error) {
      assert.equal((error as EspalierError).code, 'OVERLOADED');
      flight.fate = 'refused';
    }
  };
  for (let numSteps = 0; flights.size < NUM_REQUESTS || engine.hasWork; numSteps++) {
    assert.ok(numSteps < 5000, 'every request comes to its end');
    for (let n = rng.nextBelow(4); n > 0 && flights.size < NUM_REQUESTS; n--) submit();
    if (flights.size > 0 && rng.nextFloat() < 0.1) {
      const id = `${rng.nextBelow(flights.size)}`;
      const flight = flights.get(id);
      if (flight) flight.fate ??= 'cancelled';
      engine.cancel(id);
    }
    nowMs += rng.nextBelow(20);
    const { events, failures } = engine.step();
    for (const event of events) {
      const flight = flights.get(event.id);
      assert.ok(flight && flight.fate === null, `${event.id} is in flight`);
      addEvent(flight.outcome, event);
      if (event.finishReason) flight.fate = 'answered';
    }
    for (const { id, error } of failures) {
      const flight = flights.get(id);
      assert.ok(flight && flight.fate === null, `${id} is in flight`);
      if (error.code === 'DEADLINE_EXCEEDED' || error.code === 'OVERLOADED') {
        flight.fate = error.code === 'OVERLOADED' ? 'refused' : 'expired';
        assert.ok(!digests.has(id), 'it had not begun');
        assert.equal(flight.fate === 'expired' && !flight.deadlineMs, false, 'it had a deadline');
      } else {
        assert.ok(flight.isBroken && /broken (adapter|sampler)/.test(error.message), error.message);
        flight.fate = 'broken';
      }
    }
    engine.audit();
    assert.ok(engine.counts.numRunning <= options.maxSequences);
    happened.numWaited += engine.numWaiting;
  }
  for (const [id, { p, a, outcome, fate, isBroken }] of flights) {
    assert.ok(fate, `request ${id} has ended`);
    happened.fates[fate]++;
    if (isBroken) continue;
    outcome.digests.push(...(digests.get(id) ?? []));
    const expected = outcomeAlone(p, a);
    const what = `request ${id} (prompt ${p}, adapter ${a}), seed ${seed}, ${JSON.stringify(options)}`;
    if (fate === 'answered') {
      assert.deepEqual(outcome, expected, what);
    } else {
      assert.deepEqual(outcome.tokenIds, expected.tokenIds.slice(0, outcome.tokenIds.length), what);
      assert.deepEqual(outcome.logprobs, expected.logprobs.slice(0, outcome.logprobs.length), what);
      assert.deepEqual(outcome.digests, expected.digests.slice(0, outcome.digests.length), what);
    }
  }
  const { counts } = engine;
  assert.deepEqual([counts.numRunning, counts.numWaiting], [0, 0]);
  assert.equal(counts.numFreeBlocks, counts.numBlocks, 'every block came back');
  assert.deepEqual(engine.step(), { events: [], failures: [] });
  for (const key of COUNTED) happened[key] += counts[key];
}

const NUM_LIVES = computeDtype === 'f32' ? 400 : 140;

for (const popularity of Object.keys(POPULARITY)) {
  test(`random arrivals and departures, ${popularity} adapters: every answer is the one that it is alone`, () => {
    const fates = { answered: 0, cancelled: 0, broken: 0, expired: 0, refused: 0 };
    const none = { numWaited: 0, preemptions: 0, prefixHits: 0, prefixEvictions: 0 };
    const happened: Happened = { ...none, draftTokens: 0, acceptedDraftTokens: 0, fates };
    for (let seed = 0; seed < NUM_LIVES; seed++) live(seed, popularity, happened);
    const { fates: ends, ...counts } = happened;
    for (const [what, count] of Object.entries({ ...counts, ...ends })) {
      assert.ok(count >= NUM_LIVES / 10, `${what} happened ${count} times in ${NUM_LIVES} lives`);
    }
  });
}

for (const dtype of ['bf16', 'int8'] as const) {
  const skip = computeDtype !== 'f32' || !canComputeIn(dtype);
  test(`the same law with products in ${dtype}, keys and values in bf16`, { skip }, () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const options = { env: { ...env, ESPALIER_TEST_COMPUTE: dtype }, encoding: 'utf8' } as const;
    const said = execFileSync(process.execPath, ['--test', '--test-reporter=tap', import.meta.filename], options);
    assert.match(said, /^# pass 5$/m);
  });
}
