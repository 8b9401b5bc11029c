import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EspalierError } from '../base/index.ts';
import { BeginDeadlines } from './begin-deadlines.ts';
import { GREEDY, type GenerateRequest } from './request.ts';

const request = (id: string, deadlineMs?: number): GenerateRequest => ({
  id,
  promptTokenIds: Int32Array.of(1),
  adapter: null,
  maxTokens: 1,
  stopTokenIds: [],
  sampling: GREEDY,
  deadlineMs,
});

test('what passes before the engine has a request is a part of its time, and its deadline ends it where it waits', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 100;
  const pass = (ms: number): void => {
    now += ms;
    t.mock.timers.tick(ms);
  };
  const deadlines = new BeginDeadlines({ nowMs: () => now, epochMs: () => now });
  const late: [string, EspalierError][] = [];
  for (const [id, deadlineMs] of [
    ['begun', 50],
    ['late', 50],
    ['left', 50],
    ['patient', undefined],
  ] as const) {
    deadlines.watch(request(id, deadlineMs), (error) => late.push([id, error]));
  }
  assert.equal(deadlines.size, 3);
  pass(20);
  assert.equal(deadlines.begin(request('begun', 50)).deadlineMs, 30);
  assert.equal(deadlines.begin(request('patient')).deadlineMs, undefined);
  deadlines.forget('left');
  pass(29);
  assert.equal(late.length, 0);
  pass(1);
  assert.deepEqual(
    late.map(([id, { code }]) => [id, code]),
    [['late', 'DEADLINE_EXCEEDED']],
  );
  pass(1000);
  assert.equal(late.length, 1);
  assert.equal(deadlines.size, 0);
});
