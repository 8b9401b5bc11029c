import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leastDifference, leastMeanDifference, squaredErrorOf, wilson, type Moments } from './bounds.ts';

const Z95 = 1.959964;
const close = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) < 5e-5, `${actual} is not ${expected}`);

test('Wilson’s interval is that of Newcombe’s first table (1998, two-sided intervals, method 3)', () => {
  for (const [hits, count, low, high] of [
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ]) {
    const interval = wilson(hits, count, Z95);
    close(interval.low, low);
    close(interval.high, high);
  }
  assert.deepEqual(wilson(0, 0, 3), { low: 0, high: 1 });
});

test('the least difference is that of Newcombe’s second table (1998, interval estimation for the difference, method 10)', () => {
  const least = (a: number, m: number, b: number, n: number): number =>
    leastDifference({ hits: a, count: m }, { hits: b, count: n }, Z95);
  close(least(56, 70, 48, 80), 0.0524);
  close(least(9, 10, 3, 10), 0.1705);
  close(least(6, 7, 2, 7), 0.0582);
  close(least(5, 56, 0, 29), -0.0381);
  assert.ok(least(1, 1, 0, 1) < 1 && least(0, 5, 0, 0) < 0);
});

test('means are compared by Welch’s standard error', () => {
  const moments = (values: readonly number[]): Moments => ({
    count: values.length,
    sum: values.reduce((sum, value) => sum + value, 0),
    sumOfSquares: values.reduce((sum, value) => sum + value * value, 0),
  });
  // Means 3 and 1, variances 2.5 and 1, of five and three: an error of √(0.5 + 1/3).
  const [a, b] = [moments([1, 2, 3, 4, 5]), moments([0, 1, 2])];
  close(leastMeanDifference(a, b, 2), 2 - 2 * Math.sqrt(0.5 + 1 / 3));
  assert.equal(squaredErrorOf(moments([3])), Infinity, 'one value says nothing of the error');
});
