import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INTERVAL_MS, NUM_INTERVALS, Traffic, type EndedRequest } from './traffic.ts';

const begun = 1_700_000_010_000;
let now = begun;
const clock = { nowMs: () => now, epochMs: () => now };

const ended = (tenant: string | null, more: Partial<EndedRequest> = {}): EndedRequest => ({
  tenant,
  hasFailed: false,
  seconds: 2,
  firstTokenSeconds: 0.5,
  promptTokens: 10,
  cachedTokens: 4,
  completionTokens: 3,
  ...more,
});

test('intervals add up, for a tenant its own and for the operator all', () => {
  now = begun;
  const traffic = new Traffic(clock);
  traffic.add(ended('acme'));
  traffic.add(ended('acme', { hasFailed: true, firstTokenSeconds: null }));
  traffic.add(ended('globex'));
  traffic.add(ended(null));
  now += 2 * INTERVAL_MS;
  traffic.add(ended('acme'));
  const at = Math.floor(begun / INTERVAL_MS) * INTERVAL_MS;
  assert.deepEqual(
    traffic
      .series('acme')
      .map(({ at: when, requests, errors, firstTokens, seconds, promptTokens }) => [
        when - at,
        requests,
        errors,
        firstTokens,
        seconds,
        promptTokens,
      ]),
    [
      [0, 2, 1, 1, 4, 20],
      [2 * INTERVAL_MS, 1, 0, 1, 2, 10],
    ],
  );
  assert.deepEqual(
    traffic.series(null).map(({ requests }) => requests),
    [4, 1],
  );
  assert.deepEqual(traffic.series('nobody'), []);
  assert.deepEqual(
    traffic.byTenant().map(({ tenant, counts }) => [tenant, counts.requests, counts.completionTokens]),
    [
      ['acme', 3, 9],
      ['globex', 1, 3],
    ],
  );
});

test('what is older than an hour is forgotten, and a clock that goes back breaks nothing', () => {
  now = begun;
  const traffic = new Traffic(clock);
  traffic.add(ended('acme'));
  now += (NUM_INTERVALS - 1) * INTERVAL_MS;
  assert.equal(traffic.series('acme').length, 1);
  now += INTERVAL_MS;
  assert.equal(traffic.series('acme').length, 0);
  assert.deepEqual(traffic.byTenant(), []);
  traffic.add(ended('acme'));
  now -= 10 * INTERVAL_MS;
  traffic.add(ended('acme'));
  assert.deepEqual(
    traffic.series('acme').map(({ requests }) => requests),
    [2],
  );
});
