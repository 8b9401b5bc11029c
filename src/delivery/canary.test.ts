import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../base/index.ts';
import { CANARY_DEFAULTS, judgeCanary, NO_COUNTS, type ArmCounts, type CanaryRules } from './canary.ts';

const errors = (numErrors: number, requests: number): ArmCounts => ({ ...NO_COUNTS, requests, errors: numErrors });
const rules = (more: Partial<CanaryRules>): CanaryRules => ({ ...CANARY_DEFAULTS, ...more });
const of = (mean: number, deviation: number, count: number) => ({
  count,
  sum: mean * count,
  sumOfSquares: count * mean * mean + (count - 1) * deviation * deviation,
});
const answered = (more: Partial<ArmCounts>): ArmCounts => ({ ...NO_COUNTS, requests: 200, ...more });

test('a canary that fails where the others do not is bad after a few requests', () => {
  const verdict = judgeCanary(rules({}), errors(5, 5), errors(0, 45), 0);
  assert.equal(verdict.kind, 'bad');
  assert.match(verdict.kind === 'bad' ? verdict.reason : '', /5 of 5 requests failed, of the others 0 of 45/);
  assert.equal(judgeCanary(rules({}), errors(4, 4), errors(0, 900), 0).kind, 'open', 'too few to say');
  assert.equal(
    judgeCanary(rules({}), errors(50, 50), errors(450, 450), 0).kind,
    'open',
    'all fail: it is not the canary',
  );
  assert.equal(judgeCanary(rules({ maxErrorRate: 0.2 }), errors(50, 50), errors(450, 450), 0).kind, 'bad');
});

test('a step ends well when enough was seen and every rule is kept', () => {
  assert.equal(judgeCanary(rules({}), errors(0, 99), errors(0, 900), 0).kind, 'open');
  assert.equal(judgeCanary(rules({}), errors(0, 100), errors(0, 900), 0).kind, 'good');
  assert.equal(judgeCanary(rules({}), errors(0, 150), errors(0, 900), 100).kind, 'open', 'of this step');
  assert.equal(
    judgeCanary(rules({}), errors(4, 100), errors(0, 900), 0).kind,
    'open',
    'above the limit, perhaps by chance',
  );
  assert.equal(judgeCanary(rules({ minScore: 0.5 }), errors(0, 100), errors(0, 900), 0).kind, 'open', 'no scores yet');
  assert.equal(
    judgeCanary(rules({ minScore: 0.5 }), answered({ scores: of(0.8, 0.3, 20) }), NO_COUNTS, 0).kind,
    'good',
  );
});

test('scores and times decide beyond three standard errors', () => {
  const scored = (mine: number, theirs: number, count: number) =>
    judgeCanary(
      rules({ maxScoreDrop: 0.1 }),
      answered({ scores: of(mine, 0.2, count) }),
      answered({ scores: of(theirs, 0.2, count) }),
      0,
    ).kind;
  assert.deepEqual([scored(0.5, 0.9, 20), scored(0.75, 0.9, 20), scored(0.85, 0.9, 20)], ['bad', 'open', 'good']);
  assert.equal(scored(0, 1, 9), 'open', 'of nine scores nothing is said');
  const low = (mean: number) =>
    judgeCanary(rules({ minScore: 0.6 }), answered({ scores: of(mean, 0.2, 50) }), NO_COUNTS, 0);
  assert.deepEqual([low(0.4).kind, low(0.55).kind, low(0.6).kind], ['bad', 'open', 'good']);
  const slow = (factor: number) =>
    judgeCanary(
      rules({ maxLatencyFactor: 1.5 }),
      answered({ logSeconds: of(Math.log(factor), 0.3, 50) }),
      answered({ logSeconds: of(0, 0.3, 50) }),
      0,
    ).kind;
  assert.deepEqual([slow(3), slow(1.6), slow(1.4)], ['bad', 'open', 'good']);
});

/** The request at which a canary is bad, of at most `max`; a request in ten goes to it. */
function firstBad(rng: Rng, mine: number, theirs: number, max: number): number | undefined {
  let [canary, stable] = [errors(0, 0), errors(0, 0)];
  for (let n = 1; n <= max; n++) {
    const isCanary = rng.nextFloat() < 0.1;
    const arm = isCanary ? canary : stable;
    const next = errors(arm.errors + (rng.nextFloat() < (isCanary ? mine : theirs) ? 1 : 0), arm.requests + 1);
    if (isCanary) canary = next;
    else stable = next;
    if (judgeCanary(rules({}), canary, stable, 0).kind === 'bad') return n;
  }
  return undefined;
}

test('looked at after each of 1,000 requests, a canary like the others is rarely bad, and a worse one is found', () => {
  const rng = Rng.fromSeed(11);
  const numBad = (mine: number, theirs: number, max: number): number =>
    Array.from({ length: 200 }, () => firstBad(rng, mine, theirs, max)).filter((n) => n !== undefined).length;
  const [same, none, worse] = [numBad(0.05, 0.05, 1000), numBad(0, 0, 1000), numBad(0.4, 0.02, 1000)];
  assert.ok(same <= 6, `${same} of 200 canaries that were like the others`);
  assert.equal(none, 0);
  assert.ok(worse >= 198, `${worse} of 200 canaries that failed at twenty times the rate`);
});
