import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scheduleFactor, SCHEDULES } from './schedule.ts';

test('every schedule rises over the warm-up, reaches 1, and never exceeds it', () => {
  for (const name of SCHEDULES) {
    const factors = Array.from({ length: 20 }, (_, i) =>
      scheduleFactor({ name, warmupSteps: 5, totalSteps: 20 }, i + 1),
    );
    assert.deepEqual(factors.slice(0, 5), [0.2, 0.4, 0.6, 0.8, 1]);
    assert.ok(Math.max(...factors) === 1, name);
    const after = factors.slice(5);
    assert.ok(
      after.every((factor, i) => i === 0 || factor <= after[i - 1]),
      name,
    );
    assert.ok((after.at(-1) as number) > 0, `${name} still learns in its last step`);
  }
});

test('cosine is at one half midway; no warm-up starts at the peak', () => {
  assert.equal(scheduleFactor({ name: 'cosine', warmupSteps: 0, totalSteps: 10 }, 1), 1);
  assert.ok(Math.abs(scheduleFactor({ name: 'cosine', warmupSteps: 0, totalSteps: 10 }, 6) - 0.5) < 1e-15);
});
