import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EspalierError, Rng, type Clock } from '../base/index.ts';
import { NO_LIMITS, type TenantLimits } from './limits.ts';
import { RateLimits } from './rate-limits.ts';
import { TokenBucket } from './token-bucket.ts';

const MINUTE_MS = 60_000;

function limiter(limits: Record<string, Partial<TenantLimits>>): {
  readonly rates: RateLimits;
  readonly time: { now: number };
} {
  const time = { now: 1000.5 };
  const clock: Clock = { nowMs: () => time.now, epochMs: () => time.now };
  return { rates: new RateLimits((tenant) => ({ ...NO_LIMITS, ...limits[tenant] }), clock), time };
}

function refusal(run: () => unknown): EspalierError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof EspalierError);
    return error;
  }
  return assert.fail('it was let through');
}

test('a bucket gives its limit at once and then evenly, to the millisecond', () => {
  const bucket = new TokenBucket(0);
  assert.equal(bucket.take(7, 7, 0), 0);
  const waitMs = bucket.take(1, 7, 0);
  assert.equal(waitMs, Math.ceil(MINUTE_MS / 7));
  assert.equal(bucket.take(1, 7, waitMs - 1), 1, 'a millisecond too early');
  assert.equal(bucket.take(1, 7, waitMs), 0, 'what was told is true');
  assert.equal(bucket.take(8, 7, 10 * MINUTE_MS), Infinity, 'more than the limit is never there');
  assert.deepEqual(bucket.state(7, 10 * MINUTE_MS), { limit: 7, remaining: 7, resetMs: 0 });
});

test('over any span no more is taken than flows in, and a taker who waits as told is never refused', () => {
  for (const limit of [1, 3, 17, 1000]) {
    const rng = Rng.fromSeed(limit, 'bucket');
    const bucket = new TokenBucket(0);
    const taken: [at: number, count: number][] = [];
    let now = 0;
    for (let n = 0; n < 500; n++) {
      const count = 1 + rng.nextBelow(limit);
      const waitMs = bucket.take(count, limit, now);
      if (waitMs > 0) {
        now += waitMs;
        assert.equal(bucket.take(count, limit, now), 0);
      }
      taken.push([now, count]);
      now += rng.nextBelow(1000);
    }
    for (let from = 0; from < taken.length; from += 7) {
      let sum = 0;
      for (const [at, count] of taken.slice(from)) {
        sum += count;
        // In units of a millisecond's flow, which are whole.
        assert.ok(sum * MINUTE_MS <= limit * (at - taken[from][0] + MINUTE_MS), `${sum} tokens from ${from} on`);
      }
    }
    const [end, all] = [taken[taken.length - 1][0], taken.reduce((sum, [, count]) => sum + count, 0)];
    assert.ok(all >= (limit * end) / MINUTE_MS / 3, 'and it is not much less either');
  }
});

test('what is given back can be taken again, and never makes more than the limit', () => {
  const bucket = new TokenBucket(0);
  assert.equal(bucket.take(10, 10, 0), 0);
  bucket.giveBack(4);
  assert.equal(bucket.state(10, 0).remaining, 4);
  assert.equal(bucket.take(4, 10, 0), 0);
  assert.ok(bucket.take(1, 10, 0) > 0);
  bucket.giveBack(100);
  assert.equal(bucket.state(10, 0).remaining, 10);
});

test('a limit that changes keeps what was taken', () => {
  const bucket = new TokenBucket(0);
  bucket.take(8, 10, 0);
  assert.equal(bucket.state(100, 0).remaining, 92);
  assert.equal(bucket.state(5, 0).remaining, 0);
  assert.equal(bucket.take(1, 0, 0), Infinity);
});

test('requests per minute: the one too many is told when to come back, and then let in', () => {
  const { rates, time } = limiter({ acme: { requestsPerMinute: 2 } });
  for (let n = 0; n < 2; n++) rates.takeRequest('acme');
  const error = refusal(() => rates.takeRequest('acme'));
  assert.deepEqual([error.code, error.retryAfterMs], ['OVERLOADED', 30_000]);
  assert.deepEqual(rates.state('acme'), { requests: { limit: 2, remaining: 0, resetMs: MINUTE_MS }, tokens: null });
  time.now += 30_000;
  rates.takeRequest('acme');
  for (let n = 0; n < 100; n++) {
    rates.takeRequest('globex');
    rates.takeRequest(null);
  }
  assert.equal(rates.state('globex'), null);
  assert.equal(rates.state(null), null);
});

test('tokens are reserved for the longest answer and given back once, when it was shorter', () => {
  const { rates, time } = limiter({ acme: { tokensPerMinute: 600 } });
  const first = rates.reserve('acme', 400);
  const error = refusal(() => rates.reserve('acme', 300));
  assert.deepEqual([error.code, error.retryAfterMs], ['OVERLOADED', 10_000]);
  assert.match(error.message, /600 tokens per minute, has 200 now, and the request asks 300/);
  first.settle(150);
  first.settle(0);
  assert.equal(rates.state('acme')?.tokens?.remaining, 450);
  const second = rates.reserve('acme', 300);
  second.settle(300);
  time.now += 10_000;
  assert.equal(rates.state('acme')?.tokens?.remaining, 250);
  rates.reserve('globex', 1e9).settle(0);
  rates.reserve(null, 1e9).settle(0);
});

test('a request that asks for more than a minute holds is wrong, not early', () => {
  const { rates } = limiter({ acme: { tokensPerMinute: 600 } });
  const error = refusal(() => rates.reserve('acme', 601));
  assert.deepEqual([error.code, error.param], ['REQUEST_INVALID', 'max_tokens']);
  assert.equal(rates.largestReservation('acme'), 600);
  assert.equal(rates.state('acme')?.tokens?.remaining, 600);
});

test('tenants whose minute is whole are forgotten', () => {
  const limits = { requestsPerMinute: 2 };
  const time = { now: 0 };
  const rates = new RateLimits(() => ({ ...NO_LIMITS, ...limits }), { nowMs: () => time.now, epochMs: () => 0 });
  for (let n = 0; n < 30_000; n++) {
    rates.takeRequest(`tenant-${n}`);
    time.now += 100;
  }
  assert.ok(rates.size <= 10_000, `${rates.size} are kept`);
  assert.equal(rates.state('tenant-29999')?.requests?.remaining, 1, 'who has asked just now is not');
});
