import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shareOf } from './serve.ts';

test('several bases share cores and memory evenly, and none goes without', () => {
  const shares = (threads: number, numBases: number) =>
    Array.from({ length: numBases }, (_, n) => shareOf({ threads }, { adapterBytes: 301, hostBytes: 30 }, numBases, n));
  assert.deepEqual(shares(8, 3), [
    { threads: 3, readyBytes: 100, hostBytes: 10 },
    { threads: 3, readyBytes: 100, hostBytes: 10 },
    { threads: 2, readyBytes: 100, hostBytes: 10 },
  ]);
  assert.deepEqual(
    shares(1, 3).map(({ threads }) => threads),
    [1, 1, 1],
  );
  assert.deepEqual(shareOf({ threads: undefined }, {}, 1, 0), {
    threads: undefined,
    readyBytes: 2 ** 30,
    hostBytes: 2 ** 30,
  });
});
