import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from './pace.ts';

test('a pace is counted from what was there when it was first heard of', () => {
  let now = 5000;
  const pace = new Pace({ nowMs: () => now, epochMs: () => now });
  assert.equal(pace.note(10, 110, 'examples'), 'examples', 'nothing is known yet');
  now += 4000;
  assert.equal(pace.note(20, 110, 'examples'), '2.5 examples/s, 36 s left');
  assert.equal(pace.note(110, 110, 'examples'), '25 examples/s, 0 s left');
  assert.equal(
    pace.note(30, 110, (perSecond) => `${perSecond} B`),
    '5 B/s, 16 s left',
  );
});

test('work that stands still has no time left to tell', () => {
  let now = 0;
  const pace = new Pace({ nowMs: () => now++, epochMs: () => 0 });
  pace.note(3, 9, 'steps');
  assert.equal(pace.note(3, 9, 'steps'), 'steps');
  assert.equal(
    pace.note(3, 9, () => 'x'),
    '',
  );
});
