import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseJob, type Candidate, type TenantShare } from './fair-choice.ts';

test('every tenant has its turn, however many jobs another has queued before it', () => {
  const queue: Candidate[] = [
    ...Array.from({ length: 50 }, (_, n) => ({ id: `a${n}`, tenant: 'acme', seq: n })),
    { id: 'g0', tenant: 'globex', seq: 50 },
    { id: 'i0', tenant: 'initech', seq: 51 },
    { id: 'g1', tenant: 'globex', seq: 52 },
  ];
  const shares = new Map<string, TenantShare>();
  const begun: string[] = [];
  for (let now = 1; queue.length > 0; now++) {
    const chosen = chooseJob(queue, shares);
    assert.ok(chosen);
    queue.splice(queue.indexOf(chosen), 1);
    begun.push(chosen.id);
    shares.set(chosen.tenant, { numRunning: 0, lastStartedAt: now });
  }
  assert.deepEqual(begun.slice(0, 6), ['a0', 'g0', 'i0', 'a1', 'g1', 'a2']);
  assert.equal(new Set(begun).size, 53);
});

test('a tenant that has nothing running comes before one that has', () => {
  const shares = new Map([
    ['acme', { numRunning: 1, lastStartedAt: 1 }],
    ['globex', { numRunning: 0, lastStartedAt: 2 }],
  ]);
  const jobs = [
    { id: 'a', tenant: 'acme', seq: 1 },
    { id: 'g', tenant: 'globex', seq: 2 },
  ];
  assert.equal(chooseJob(jobs, shares)?.id, 'g');
  assert.equal(chooseJob(jobs.slice(0, 1), shares)?.id, 'a', 'but nothing is left idle');
  assert.equal(chooseJob([], shares), undefined);
});
