/** Preference losses as functions of log probabilities: their derivatives, and what their papers say of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../../base/index.ts';
import { assertClose } from '../../numeric/compare.ts';
import { lossFunction } from './index.ts';
import type { ObjectiveConfig } from './objective.ts';
import type { ScoredExample } from './preference-loss.ts';

const CONFIGS: readonly Exclude<ObjectiveConfig, { name: 'sft' | 'distillation' | 'classification' }>[] = [
  { name: 'dpo', beta: 0.3, labelSmoothing: 0 },
  { name: 'dpo', beta: 0.3, labelSmoothing: 0.2 },
  { name: 'ipo', beta: 0.4 },
  { name: 'simpo', beta: 2, gamma: 0.7 },
  { name: 'orpo', beta: 0.25 },
  { name: 'kto', beta: 0.2, desirableWeight: 1.5, undesirableWeight: 0.5 },
];
const STEP = 1e-5;

/** Log probabilities as [example, side], so that one of them can be moved. */
function examplesOf(logProbs: Float64Array, rng: Rng): ScoredExample[] {
  const references = Array.from({ length: logProbs.length }, () => -12 - 4 * rng.nextFloat());
  return Array.from({ length: logProbs.length / 2 }, (_, index) => {
    const answer = (i: number) => ({ logProb: logProbs[i], reference: references[i], numTokens: 5 + (i % 3) });
    return { answers: [answer(2 * index), answer(2 * index + 1)], isDesirable: index % 2 === 0 };
  });
}

for (const config of CONFIGS) {
  test(`${JSON.stringify(config)}: derivatives are central differences`, () => {
    const loss = lossFunction(config);
    const logProbs = Float64Array.from({ length: 8 }, (_, i) => -10 - 1.3 * i);
    const at = () => loss.lossesOf(examplesOf(logProbs, Rng.fromSeed(3)));
    const analytic = at().flatMap(({ gradient }) => [...gradient]);
    // KTO's reference point holds no derivative: its own two answers are moved with it unchanged below.
    const numSides = config.name === 'kto' ? 1 : 2;
    const numeric = analytic.map((_, i) => {
      if (i % 2 >= numSides) return 0;
      const kept = logProbs[i];
      const sum = (value: number): number => {
        logProbs[i] = value;
        return at().reduce((total, one) => total + one.loss, 0);
      };
      const difference = (sum(kept + STEP) - sum(kept - STEP)) / (2 * STEP);
      logProbs[i] = kept;
      return difference;
    });
    assertClose(analytic, numeric, 1e-7, config.name);
  });
}

const answer = (logProb: number, reference: number, numTokens = 4) => ({ logProb, reference, numTokens });

test('DPO begins at log 2, with equal rewards, and pushes the two answers apart with equal force', () => {
  const [one] = lossFunction({ name: 'dpo', beta: 0.1, labelSmoothing: 0 }).lossesOf([
    { answers: [answer(-9, -9), answer(-5, -5)], isDesirable: undefined },
  ]);
  assert.equal(one?.loss, Math.log(2));
  assert.deepEqual([one?.chosenReward, one?.rejectedReward, one?.isRight], [0, 0, false]);
  assert.deepEqual(one?.gradient, [-0.05, 0.05]);
});

test('losses stay finite where probabilities are 0 or 1', () => {
  for (const config of CONFIGS) {
    for (const logProb of [-1e5, -1e-12, 0]) {
      const [one] = lossFunction(config).lossesOf([
        { answers: [answer(logProb, -3), answer(-3, logProb)], isDesirable: true },
      ]);
      assert.ok(one && [one.loss, ...one.gradient].every(Number.isFinite), `${config.name} at ${logProb}`);
    }
  }
});

test('KTO: the reference point is the mean reward of mismatched answers, and never below 0', () => {
  const loss = lossFunction({ name: 'kto', beta: 0.5, desirableWeight: 1, undesirableWeight: 1 });
  const value = (mismatched: number): number | undefined =>
    loss.lossesOf([{ answers: [answer(-4, -6), answer(mismatched, -6)], isDesirable: true }])[0]?.loss;
  // r = 1; z = 0.5·2 = 1: half of the value is left.
  assert.equal(value(-4), 0.5);
  assert.equal(value(-60), value(-6));
});
