/** What tenants get of one engine when one of them floods it: on the real scheduler, with a clock that only steps move. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  longest,
  simulate,
  SIMULATED as OPTIONS,
  tenTenants,
  withoutFlood,
  type Load,
} from '../../../test/support/serving-simulation.ts';

/** No step is longer. */
const LONGEST_STEP_MS = OPTIONS.stepMs(OPTIONS.limits.maxStepTokens);
/** A request that is overdue goes first in the next step: the one that runs ends before. */
const BOUND_MS = OPTIONS.limits.maxWaitMs + LONGEST_STEP_MS;

for (const [name, load, cacheTokens] of [
  ['lightly used', 0.6, OPTIONS.cacheTokens],
  ['nearly full', 0.95, OPTIONS.cacheTokens],
  ['overloaded', 1.5, OPTIONS.cacheTokens],
  ['lightly used, with blocks for half of the places', 0.6, 16 * 64],
] as const) {
  test(`one sends fifty times as much: the nine keep their service, and nobody waits beyond the bound (${name})`, () => {
    const options = { ...OPTIONS, cacheTokens };
    const equal = withoutFlood(simulate(tenTenants(1, load), options));
    const all = simulate(tenTenants(50, load), options);
    for (const [n, { tokens }] of withoutFlood(all).entries()) {
      const share = tokens / equal[n].tokens;
      assert.ok(share >= 0.95, `tenant ${n + 1} keeps ${(100 * share).toFixed(1)} % of its service`);
    }
    const flood = all.get('flood') ?? assert.fail();
    assert.ok(flood.numRefused > 0.7 * flood.numSent, 'most of the flood is refused when it comes');
    assert.ok(flood.numGivenUp < 0.05 * flood.numSent, 'little of it later');
    assert.ok(flood.numFinished > 0, 'and the rest is answered');
    assert.ok(flood.retryAfterMs.every((ms) => ms >= 1000 && ms < 60_000));
    const recomputed = [...all.values()].reduce((sum, { recomputedTokens }) => sum + recomputedTokens, 0);
    const isTight = cacheTokens < OPTIONS.cacheTokens;
    assert.equal(recomputed > 1000, isTight, `${recomputed} tokens were computed again`);
    const waitMs = longest([...all.values()].flatMap(({ waitsMs }) => waitsMs));
    // When blocks are short, who is first in line may still wait for somebody's last tokens.
    const boundMs = BOUND_MS + (isTight ? 4 * LONGEST_STEP_MS : 0);
    assert.ok(waitMs <= boundMs, `somebody waited ${waitMs} ms`);
  });
}

for (const [numTenants, answerTokens] of [
  [200, [10, 60]],
  [40, [200, 300]],
] as const) {
  test(`${numTenants} tenants on 16 places, twice as much asked as can be served: all are served alike, nobody waits beyond the bound`, () => {
    const loads = Array.from({ length: numTenants }, (_, n): Load => {
      const requestsPerSecond = (80 * 35) / ((answerTokens[0] + answerTokens[1]) / 2) / numTenants;
      return { tenant: `tenant ${n}`, requestsPerSecond, promptTokens: [20, 100], answerTokens };
    });
    const services = [...simulate(loads, { ...OPTIONS, cacheTokens: 16 * 512 }).values()];
    const waitMs = longest(services.flatMap(({ waitsMs }) => waitsMs));
    assert.ok(waitMs <= BOUND_MS, `somebody waited ${waitMs} ms`);
    const finished = services.map(({ numFinished }) => numFinished).toSorted((a, b) => a - b);
    const mean = finished.reduce((sum, count) => sum + count, 0) / numTenants;
    assert.ok(finished[0] >= mean / 2 && finished[numTenants - 1] <= mean * 2, `${finished[0]} to ${finished.at(-1)}`);
    assert.ok(services.every(({ retryAfterMs }) => retryAfterMs.every((ms) => ms >= 1000)));
  });
}

test('long prompts of one tenant do not delay the first tokens of others', () => {
  const short: Load = { tenant: 'short', requestsPerSecond: 5, promptTokens: [20, 60], answerTokens: [5, 20] };
  const long: Load = { tenant: 'long', requestsPerSecond: 20, promptTokens: [2000, 3000], answerTokens: [1, 2] };
  const options = { ...OPTIONS, cacheTokens: 16 * 3200 };
  const alone = simulate([short], options).get('short') ?? assert.fail();
  const both = simulate([short, long], options);
  const beside = both.get('short') ?? assert.fail();
  assert.ok(beside.numFinished >= alone.numFinished - 2, 'all but those that run at the end are answered');
  assert.ok((both.get('long')?.tokens ?? 0) > 100_000, 'the long ones fill the steps');
  // A step that runs, and half of the next for its own prompt: not one of the long prompts, which take ten steps.
  const slower = longest(beside.firstTokensMs) - longest(alone.firstTokensMs);
  assert.ok(slower <= 2 * LONGEST_STEP_MS, `a first token came ${slower} ms later than alone`);
});

test('a generated token counts as two of a prompt: who asks for long answers is served as much as who sends long prompts', () => {
  const services = simulate(
    [
      { tenant: 'talker', requestsPerSecond: 60, promptTokens: [10, 10], answerTokens: [100, 100] },
      { tenant: 'reader', requestsPerSecond: 60, promptTokens: [100, 100], answerTokens: [10, 10] },
    ],
    { ...OPTIONS, limits: { ...OPTIONS.limits, maxWaitMs: Infinity } },
  );
  const [talker, reader] = [...services.values()].map(({ numFinished }) => numFinished);
  const ratio = (talker * (10 + 2 * 100)) / (reader * (100 + 2 * 10));
  assert.ok(ratio > 0.93 && ratio < 1.07, `the talker got ${ratio.toFixed(2)} of the reader’s service`);
});

test('service goes by weight when all ask for more than there is', () => {
  const load = { requestsPerSecond: 60, promptTokens: [20, 100], answerTokens: [10, 60] } as const;
  const services = simulate(
    [
      { tenant: 'one', weight: 1, ...load },
      { tenant: 'two', weight: 2, ...load },
      { tenant: 'four', weight: 4, ...load },
    ],
    { ...OPTIONS, limits: { ...OPTIONS.limits, maxWaitMs: Infinity } },
  );
  const [one, two, four] = [...services.values()].map(({ tokens }) => tokens);
  for (const [what, ratio] of Object.entries({ two: two / one / 2, four: four / one / 4 })) {
    assert.ok(ratio > 0.93 && ratio < 1.07, `${what} got ${ratio.toFixed(2)} of its part`);
  }
});
