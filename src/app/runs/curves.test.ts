import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawCurves } from './curves.ts';

const validations = [
  { step: 2, loss: 1.5, accuracy: 0.25, metrics: {} },
  { step: 4, loss: 1, accuracy: 0.75, metrics: {} },
];

test('every evaluation is a point, the curve a path, and higher losses stand higher', () => {
  const svg = drawCurves({ trainLosses: [3, 2, 1.5, 1], validations });
  assert.equal(svg.match(/<circle /g)?.length, 4);
  assert.equal(svg.match(/<path /g)?.length, 3);
  const [first, second] = [...svg.matchAll(/<circle cx="[\d.]+" cy="([\d.]+)"/g)].map(([, y]) => Number(y));
  assert.ok(first < second, 'down is less');
  assert.equal(drawCurves({ trainLosses: [3, 2, 1.5, 1], validations }), svg);
});

test('a run without held-out data has one panel; a long or a one-step run can be drawn', () => {
  const alone = drawCurves({ trainLosses: [3], validations: [] });
  assert.ok(!alone.includes('held-out') && !alone.includes('NaN'), alone);
  const long = drawCurves({ trainLosses: Array.from({ length: 50_000 }, (_, i) => 1 / (i + 1)), validations: [] });
  assert.ok(long.length < 40_000 && !long.includes('NaN'));
});
