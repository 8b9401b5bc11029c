import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sparkline } from './sparkline.ts';

test('a sparkline has the lowest value at the bottom, and is never wider than asked', () => {
  assert.equal(sparkline([8, 4, 1]), '█▄▁');
  assert.equal(sparkline([2, 2]), '▁▁');
  assert.equal(sparkline([]), '');
  assert.equal(sparkline([0, 2, 10, 10, 0, 0], 3), '▂█▁');
  assert.ok(sparkline(Array.from({ length: 1000 }, (_, i) => i)).length <= 16);
});
