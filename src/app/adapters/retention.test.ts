import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AdapterVersion } from '../../registry/index.ts';
import { outdated } from './retention.ts';

test('the newest stay, and so does what something names, however old', () => {
  const versions = [3, 1, 5, 2, 4].map((version) => ({ version }) as AdapterVersion);
  const going = (keep: number, held: readonly number[]): number[] =>
    outdated(versions, keep, ({ version }) => held.includes(version)).map(({ version }) => version);
  assert.deepEqual(going(2, []), [3, 2, 1]);
  assert.deepEqual(going(2, [1, 3]), [2]);
  assert.deepEqual(going(5, []), []);
  assert.deepEqual(going(9, []), []);
});
