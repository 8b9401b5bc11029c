import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from '@hono/zod-openapi';
import { EspalierError } from '../../base/index.ts';
import { parseBody } from '../body.ts';
import type { Scheduling } from '../requests.ts';
import { schedulingFields, schedulingOf, serviceTier, tierOf } from './scheduling-fields.ts';

const body = z.strictObject({ ...schedulingFields, service_tier: serviceTier });

function read(fields: object, headers: Record<string, string> = {}): Scheduling {
  return schedulingOf(parseBody(body, fields), new Headers(headers));
}

function paramOf(fields: object, headers: Record<string, string> = {}): string | undefined {
  try {
    read(fields, headers);
  } catch (error) {
    assert.ok(error instanceof EspalierError && error.code === 'REQUEST_INVALID');
    return error.param;
  }
  return assert.fail('it was accepted');
}

test('vLLM’s priority is the engine’s the other way round, and OpenAI’s tiers are priorities', () => {
  for (const [fields, priority] of [
    [{}, 0],
    [{ priority: null, service_tier: null }, 0],
    [{ priority: -3 }, 3],
    [{ priority: 5, service_tier: 'auto' }, -5],
    [{ service_tier: 'default' }, 0],
    [{ service_tier: 'flex' }, -1],
    [{ service_tier: 'priority' }, 1],
  ] as const) {
    assert.deepEqual(read(fields), { priority, timeoutMs: null }, JSON.stringify(fields));
  }
  assert.equal(paramOf({ priority: 0, service_tier: 'flex' }), 'priority');
  assert.equal(paramOf({ service_tier: 'scale' }), 'service_tier');
  assert.equal(paramOf({ priority: 1.5 }), 'priority');
  assert.deepEqual(
    [null, 'auto', 'default', 'flex', 'priority'].map((tier) => tierOf(tier as 'auto' | null)),
    ['default', 'default', 'default', 'flex', 'priority'],
  );
});

test('a timeout stands in the body in seconds or in the header in milliseconds', () => {
  const header = (text: string) => ({ 'X-Request-Timeout-Ms': text });
  assert.equal(read({ timeout: 1.5 }).timeoutMs, 1500);
  assert.equal(read({}, header('250')).timeoutMs, 250);
  assert.equal(read({ timeout: 0.25 }, header('250')).timeoutMs, 250);
  assert.equal(paramOf({ timeout: 1 }, header('250')), 'timeout');
  for (const text of ['', '0', '-1', '1.5', '1e3', '999999999', 'soon']) {
    assert.equal(paramOf({}, header(text)), 'X-Request-Timeout-Ms', text);
  }
  for (const timeout of [0, -1, 1e9, '1']) assert.equal(paramOf({ timeout }), 'timeout');
});
