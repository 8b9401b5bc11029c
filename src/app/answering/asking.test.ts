import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_LIMITS, RateLimits } from '../../tenancy/index.ts';
import { Asking, type AskingOptions } from './asking.ts';

function make(tokensPerMinute: number | null, more: Partial<AskingOptions> = {}) {
  const time = { now: 100 };
  const clock = { nowMs: () => time.now, epochMs: () => time.now };
  const rates = new RateLimits(() => ({ ...NO_LIMITS, tokensPerMinute }), clock);
  const scheduling = { priority: 2, timeoutMs: 50 };
  const { signal } = new AbortController();
  const options = { tenant: 'acme', adapter: null, signal, scheduling, weight: 3, rates, clock, ...more };
  const recorded: unknown[] = [];
  return { asking: new Asking(options, (used) => recorded.push({ ...used })), rates, time, recorded };
}

test('the engine is told the tenant’s weight, the request’s priority, and what is left of its time until it has begun', () => {
  const { asking, time } = make(null);
  time.now += 20;
  assert.deepEqual(asking.turn(), { tenant: 'acme', weight: 3, priority: 2, deadlineMs: 30 });
  time.now += 100;
  assert.equal(asking.turn().deadlineMs, 0);
  asking.begin();
  assert.equal(asking.turn().deadlineMs, undefined, 'the sequences that come later wait for the earlier ones');
  const patient = make(null, { scheduling: { priority: 0, timeoutMs: null } });
  assert.equal(patient.asking.turn().deadlineMs, undefined);
});

test('open answers get what a minute holds, divided evenly, or what the context has left', () => {
  const most = (limit: number | null, maxTokens: number | null, room: number): number | null =>
    make(limit).asking.reserve(10, 3, maxTokens, room);
  assert.equal(most(null, null, 500), null);
  assert.equal(most(null, 7, 500), 7);
  assert.equal(most(100, 7, 500), 7);
  assert.equal(most(100, null, 500), 30);
  assert.equal(most(10_000, null, 500), null, 'the context is the shorter of the two');
});

test('the longest answer has the places that the prompt and the adapter’s virtual tokens leave', () => {
  const service = { contextLength: 100 };
  const source = { digest: 'sha256:a', directory: '/x', tenant: 'acme' };
  assert.equal(make(null).asking.roomFor(service, 30), 70);
  assert.equal(make(null, { adapter: source }).asking.roomFor(service, 30), 70);
  const { asking } = make(200, { adapter: { ...source, numVirtual: 20 } });
  assert.equal(asking.roomFor(service, 30), 50);
  assert.equal(asking.reserve(30, 1, null, asking.roomFor(service, 30)), null);
});

test('what never began has cost nothing; what has begun costs what it used', () => {
  for (const [hasBegun, left] of [
    [false, 100],
    [true, 84],
  ] as const) {
    const { asking, rates, recorded } = make(100);
    {
      using _ended = asking;
      asking.reserve(10, 3, 20, 500);
      assert.equal(rates.state('acme')?.tokens?.remaining, 30);
      asking.meter.promptTokens = 10;
      asking.meter.completionTokens = 6;
      if (hasBegun) asking.begin();
    }
    assert.equal(rates.state('acme')?.tokens?.remaining, left);
    const [promptTokens, completionTokens] = hasBegun ? [10, 6] : [0, 0];
    assert.deepEqual(recorded, [{ promptTokens, completionTokens, cachedTokens: 0 }], 'once, and no more than that');
  }
});
