/** What tenants get of one engine when one of them floods it: on the real scheduler, with a clock that only steps move. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulate, type Load, type Service, type SimulationOptions } from '../../test/support/serving-simulation.ts';

const OPTIONS: SimulationOptions = {
  limits: { maxStepTokens: 256, maxSequences: 16, maxWaiting: 400, maxWaitingPerTenant: 100, maxWaitMs: 2000 },
  cacheTokens: 16 * 256,
  seconds: 120,
  seed: 1,
  stepMs: (numRows) => 2 + 0.2 * numRows,
};
/** No step is longer. */
const LONGEST_STEP_MS = OPTIONS.stepMs(OPTIONS.limits.maxStepTokens);

/** About what the engine of {@link OPTIONS} can answer, over all tenants. */
const CAPACITY = 40;

function tenants(flood: number, load: number): Load[] {
  return Array.from({ length: 10 }, (_, n): Load => ({
    tenant: n === 0 ? 'flood' : `tenant ${n}`,
    requestsPerSecond: ((n === 0 ? flood : 1) * load * CAPACITY) / 10,
    promptTokens: [20, 100],
    answerTokens: [10, 60],
  }));
}

function others(services: Map<string, Service>): Service[] {
  return [...services].filter(([tenant]) => tenant !== 'flood').map(([, service]) => service);
}

for (const [name, load] of [
  ['lightly', 0.6],
  ['nearly fully', 0.95],
  ['overloaded', 1.5],
] as const) {
  test(`one sends fifty times as much: the nine keep their service (${name} used)`, () => {
    const equal = others(simulate(tenants(1, load), OPTIONS));
    const all = simulate(tenants(50, load), OPTIONS);
    const flooded = others(all);
    for (const [n, { tokens }] of flooded.entries()) {
      const share = tokens / equal[n].tokens;
      assert.ok(share >= 0.95, `tenant ${n + 1} keeps ${(100 * share).toFixed(1)} % of its service`);
    }
    const flood = all.get('flood') ?? assert.fail();
    assert.ok(flood.numRefused > flood.numSent / 2, 'most of the flood is refused');
    assert.ok(flood.numFinished > 0, 'and the rest is answered');
    assert.ok(flood.retryAfterMs.every((ms) => ms >= 1000 && ms < 60_000));
    const longest = Math.max(...[...all.values()].flatMap(({ waitsMs }) => waitsMs));
    const boundMs = OPTIONS.limits.maxWaitMs + LONGEST_STEP_MS;
    assert.ok(longest <= boundMs, `somebody waited ${longest} ms`);
  });
}
