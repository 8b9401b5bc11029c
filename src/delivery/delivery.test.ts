import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { EspalierError, type Clock } from '../base/index.ts';
import { BlobStore, Database } from '../storage/index.ts';
import { CANARY_DEFAULTS, type CanaryArm, type CanarySettings } from './canary.ts';
import { Delivery } from './delivery.ts';
import { gateVerdict, type Gate } from './gates.ts';
import { DELIVERY_MIGRATIONS } from './tables.ts';

const folder = await mkdtemp(join(tmpdir(), 'espalier-delivery-'));
after(() => rmSync(folder, { recursive: true }));

let nowMs = 1_000;
const clock: Clock = { nowMs: () => nowMs, epochMs: () => nowMs };
let home: string;
let numHomes = 0;
let delivery: Delivery;
let database: Database;

async function open(): Promise<void> {
  database = Database.open(join(home, 'espalier.db'), [DELIVERY_MIGRATIONS], clock);
  delivery = await Delivery.open(database, home, clock);
}
beforeEach(async () => {
  home = join(folder, String(numHomes++));
  await open();
});

const settings = (more: Partial<CanarySettings> = {}): CanarySettings => ({
  ...CANARY_DEFAULTS,
  minRequests: 10,
  ...more,
});
const start = (more: Partial<CanarySettings> = {}) =>
  delivery.canaries.start('acme', 'triage', 2, settings(more), 'key_1');
const code = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof EspalierError) return error.code;
  }
  return 'nothing was thrown';
};

function answer(arm: CanaryArm, count: number, isError = false): void {
  const canary = delivery.canaries.open('acme', 'triage');
  assert.ok(canary);
  for (let n = 0; n < count; n++) delivery.canaries.add(canary, arm, `${arm}-${n}`, { isError, seconds: 0.5 });
  delivery.canaries.flush();
}
const kinds = (): string[] => delivery.events('acme', 'triage', 100).map(({ kind }) => kind);

test('a canary grows step by step and is to be promoted at the end; counts and steps outlive the process', async () => {
  start({ shares: [0.1, 0.5], promote: true, minSeconds: 60 });
  answer('stable', 90);
  answer('canary', 9);
  database.close();
  await open();
  answer('canary', 1);
  assert.equal(delivery.canaries.report('acme', 'triage')?.share, 0.1, 'the step is too short');
  nowMs += 60_000;
  assert.deepEqual(delivery.canaries.tick(), []);
  assert.equal(delivery.canaries.report('acme', 'triage')?.share, 0.5);
  answer('canary', 9);
  nowMs += 60_000;
  assert.deepEqual(delivery.canaries.tick(), [], 'ten requests of the second step are asked');
  answer('canary', 1);
  database.close();
  await open();
  const [promoting] = delivery.canaries.tick();
  assert.equal(promoting.version, 2);
  assert.equal(delivery.canaries.tick().length, 1, 'until it is said that it was promoted');
  delivery.canaries.promoted(promoting);
  delivery.canaries.promoted(promoting);
  assert.deepEqual(delivery.canaries.tick(), []);
  const report = delivery.canaries.report('acme', 'triage');
  assert.deepEqual(
    [report?.canary.status, report?.share, report?.counts.canary.requests, report?.counts.stable.requests],
    ['promoted', 0, 20, 90],
  );
  assert.deepEqual(kinds(), ['canary-promoted', 'canary-passed', 'canary-grown', 'canary-started']);
});

test('a canary that fails is rolled back at once, by the rule, and nothing more is counted as a step', () => {
  start();
  answer('stable', 45);
  answer('canary', 5, true);
  assert.equal(delivery.canaries.open('acme', 'triage'), undefined);
  const report = delivery.canaries.report('acme', 'triage');
  assert.equal(report?.canary.status, 'rolled-back');
  assert.match(report?.canary.reason ?? '', /requests failed/);
  assert.equal(delivery.events('acme', 'triage', 1)[0].actor, null);
});

test('scores count once for each answer, and falling scores roll the canary back', () => {
  start({ maxScoreDrop: 0.2 });
  answer('stable', 20);
  answer('canary', 20);
  const { canaries } = delivery;
  for (let n = 0; n < 20; n++) canaries.score('acme', `stable-${n}`, n % 2 === 0 ? 1 : 0.9);
  for (let n = 0; n < 9; n++) canaries.score('acme', `canary-${n}`, 1);
  for (let n = 0; n < 9; n++) canaries.score('acme', `canary-${n}`, n % 2 === 0 ? 0 : 0.1);
  const scores = canaries.report('acme', 'triage')?.counts.canary.scores;
  assert.equal(scores?.count, 9);
  assert.ok(Math.abs((scores?.sum ?? 0) - 0.4) < 1e-9, 'the second score takes the place of the first');
  assert.equal(
    code(() => canaries.score('acme', 'canary-99', 1)),
    'ANSWER_NOT_FOUND',
  );
  assert.equal(
    code(() => canaries.score('globex', 'canary-1', 1)),
    'ANSWER_NOT_FOUND',
  );
  assert.ok(canaries.open('acme', 'triage'));
  canaries.score('acme', 'canary-10', 0);
  assert.equal(canaries.open('acme', 'triage'), undefined);
  assert.match(canaries.report('acme', 'triage')?.canary.reason ?? '', /the mean of its scores is 0\.04/);
  canaries.score('acme', 'canary-11', 1);
});

test('sessions stay with their side, and a growing share takes none from the canary', () => {
  const canary = start({ shares: [0.1, 0.4] });
  const { canaries } = delivery;
  const sessions = Array.from({ length: 10_000 }, (_, n) => `user-${n}`);
  const arms = sessions.map((session) => canaries.armOf(canary, session));
  const numCanary = arms.filter((arm) => arm === 'canary').length;
  assert.ok(Math.abs(numCanary - 1000) < 4 * 30, `${numCanary}: four standard deviations of p = 0.1`);
  const grown = sessions.map((session) => canaries.armOf({ ...canary, step: 1 }, session));
  assert.ok(arms.every((arm, n) => arm === 'stable' || grown[n] === 'canary'));
  assert.ok(Math.abs(grown.filter((arm) => arm === 'canary').length - 4000) < 4 * 49);
});

test('a task has one canary and one shadow at a time, whoever starts them', () => {
  start();
  assert.equal(
    code(() => start()),
    'REQUEST_INVALID',
  );
  for (const shares of [[], [0], [1.1], [0.5, 0.5], [0.5, 0.1]]) {
    assert.equal(
      code(() => delivery.canaries.start('acme', 'other', 1, settings({ shares }), 'x')),
      'REQUEST_INVALID',
    );
  }
  assert.equal(delivery.userOf({ tenant: 'acme', task: 'triage', version: 2 }), 'canary');
  assert.equal(delivery.canaries.stop('acme', 'triage', 'key_1', 'because')?.version, 2);
  assert.equal(delivery.canaries.stop('acme', 'triage', 'key_1', 'because'), undefined);
  assert.equal(delivery.userOf({ tenant: 'acme', task: 'triage', version: 2 }), undefined);
  const shadow = delivery.shadows.start('acme', 'triage', 3, 0.5, 'key_1');
  assert.equal(
    code(() => delivery.shadows.start('acme', 'triage', 3, 0.5, 'key_1')),
    'REQUEST_INVALID',
  );
  assert.equal(delivery.userOf({ tenant: 'acme', task: 'triage', version: 3 }), 'shadow');
  const numAsked = Array.from({ length: 10_000 }, (_, n) => delivery.shadows.isAsked(shadow, `req-${n}`)).filter(
    Boolean,
  ).length;
  assert.ok(Math.abs(numAsked - 5000) < 4 * 50, `${numAsked}`);
});

test('a shadow’s report is over what was compared', () => {
  const shadow = delivery.shadows.start('acme', 'triage', 3, 1, 'key_1');
  const figures = (chars: number, tokens: number, ms: number) => ({ chars, tokens, ms });
  const add = (requestId: string, similarity: number, error: string | null = null): void =>
    delivery.shadows.add(shadow, {
      requestId,
      error,
      isEqual: similarity === 1,
      similarity,
      primary: figures(10, 2, 100),
      shadow: error === null ? figures(20, 4, 300) : figures(0, 0, 0),
    });
  add('a', 1);
  add('b', 0.25);
  add('c', 0.5);
  add('d', 0, 'it is gone');
  delivery.shadows.skip(shadow);
  const { shadow: told, ...report } = delivery.shadows.report('acme', 'triage') ?? assert.fail('there is one');
  assert.equal(told.skipped, 1);
  assert.deepEqual(report, {
    compared: 3,
    failed: 1,
    equalShare: 1 / 3,
    meanSimilarity: 1.75 / 3,
    primary: figures(10, 2, 100),
    shadowed: figures(20, 4, 300),
    leastSimilar: [
      { requestId: 'b', similarity: 0.25 },
      { requestId: 'c', similarity: 0.5 },
    ],
    lastError: 'it is gone',
  });
});

test('a gate keeps its data whatever becomes of the file, and lets it go when no gate names it', async () => {
  const path = join(home, 'held-out.jsonl');
  const gate = { metric: 'accuracy', dataName: 'held-out.jsonl', threshold: 0.9, tolerance: null, maxTokens: 16 };
  const { gates } = delivery;
  writeFileSync(path, 'one');
  await gates.set('acme', 'triage', path, gate);
  await gates.set('acme', 'reply', path, gate);
  writeFileSync(path, 'two');
  const first = gates.find('acme', 'triage') as Gate;
  await gates.set('acme', 'triage', path, { ...gate, threshold: 0.8 });
  const second = gates.find('acme', 'triage') as Gate;
  assert.notEqual(second.data, first.data);
  assert.equal(gates.remove('acme', 'reply'), true);
  assert.equal(gates.remove('acme', 'reply'), false);
  const blobs = await BlobStore.open(join(home, 'gates'), clock);
  assert.deepEqual(await blobs.list(), [second.data], 'what no gate names is gone');
  await blobs.put('of a process that died');
  assert.equal(await delivery.sweep(), 1);
  gates.addScore('acme', first.data, second, { value: 0.5, examples: 3 });
  assert.deepEqual({ ...gates.score('acme', first.data, second) }, { value: 0.5, examples: 3 });
  assert.equal(gates.score('acme', first.data, first), undefined, 'other data, other score');
  assert.equal(gates.remove('acme', 'triage'), true);
  assert.equal(gates.find('acme', 'triage'), undefined);
  assert.equal(await delivery.sweep(), 0);
});

test('a gate’s verdict: bounds are kept or not, and a loss is better when it is less', () => {
  const gate = { dataName: 'x.jsonl', metric: 'accuracy', threshold: 0.9, tolerance: 0.01 };
  const score = (value: number) => ({ value, examples: 100 });
  const passes = (
    of: Partial<typeof gate> | { threshold: null } | { tolerance: null },
    mine: number,
    theirs: number | null,
  ): boolean => gateVerdict({ ...gate, ...of }, score(mine), theirs === null ? null : score(theirs)).isPassed;
  assert.deepEqual([passes({}, 0.9, null), passes({}, 0.89, null)], [true, false]);
  assert.deepEqual([passes({}, 0.95, 0.96), passes({}, 0.95, 0.97)], [true, false]);
  assert.deepEqual([passes({ threshold: null }, 0.1, null), passes({ tolerance: null }, 0.95, 1)], [true, true]);
  const loss = { metric: 'loss', threshold: 1, tolerance: 0.1 };
  assert.deepEqual([passes(loss, 1, 0.9), passes(loss, 1.01, null), passes(loss, 0.9, 0.7)], [true, false, false]);
  assert.equal(passes({ threshold: null }, NaN, null), false);
  const { message } = gateVerdict(gate, score(0.85), score(0.95));
  assert.match(
    message,
    /accuracy 0\.8500 on x\.jsonl \(100 examples\); at least 0\.9 .* has 0\.9500 and may be missed by 0\.01/,
  );
});
