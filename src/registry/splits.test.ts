import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseEntry, type SplitEntry } from './splits.ts';

const split = (...weights: number[]): SplitEntry[] => weights.map((weight, n) => ({ version: String(n + 1), weight }));
const SESSIONS = Array.from({ length: 10_000 }, (_, n) => `user-${n}`);

test('10,000 sessions fall on a split of 90 to 10 within its binomial bound, and stay where they are', () => {
  const chosen = SESSIONS.map((session) => chooseEntry(split(90, 10), 'triage', session)?.version);
  const numSecond = chosen.filter((version) => version === '2').length;
  // Four standard deviations of 10,000 draws with p = 0.1.
  assert.ok(Math.abs(numSecond - 1000) < 4 * 30, `${numSecond}`);
  assert.deepEqual(
    SESSIONS.map((session) => chooseEntry(split(90, 10), 'triage', session)?.version),
    chosen,
  );
});

test('more weight for the second part moves sessions to it, and none away from it', () => {
  let numMoved = 0;
  for (const session of SESSIONS) {
    const before = chooseEntry(split(90, 10), 'triage', session)?.version;
    const after = chooseEntry(split(80, 20), 'triage', session)?.version;
    if (before === '2') assert.equal(after, '2');
    if (before !== after) numMoved++;
  }
  assert.ok(Math.abs(numMoved - 1000) < 4 * 30, `${numMoved}`);
});

test('a session has another place in another task, and weights need not add up to anything', () => {
  const same = SESSIONS.filter(
    (session) =>
      chooseEntry(split(1, 1), 'triage', session)?.version === chooseEntry(split(1, 1), 'reply', session)?.version,
  ).length;
  assert.ok(Math.abs(same - 5000) < 4 * 50, `${same}`);
  for (const session of SESSIONS.slice(0, 100)) {
    const small = chooseEntry(split(0.3, 0.7), 'triage', session);
    assert.equal(small?.version, chooseEntry(split(3, 7), 'triage', session)?.version);
  }
  assert.equal(chooseEntry(split(5), 'triage', 'x')?.version, '1');
  assert.equal(chooseEntry([], 'triage', 'x'), undefined);
});

test('each of several parts has its share', () => {
  const counts = new Map<string, number>();
  for (const session of SESSIONS) {
    const version = chooseEntry(split(50, 20, 30), 'triage', session)?.version ?? 'none';
    counts.set(version, (counts.get(version) ?? 0) + 1);
  }
  for (const [version, share] of [
    ['1', 0.5],
    ['2', 0.2],
    ['3', 0.3],
  ] as const) {
    const count = counts.get(version) ?? 0;
    assert.ok(Math.abs(count - share * 10_000) < 4 * Math.sqrt(10_000 * share * (1 - share)), `${version}: ${count}`);
  }
});
