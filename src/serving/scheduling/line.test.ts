import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeSequence } from '../../../test/support/sequences.ts';
import { Rng } from '../../base/index.ts';
import type { Sequence } from '../sequence.ts';
import { FairQueue } from './fair-queue.ts';
import { isServedLess, type Tenant } from './tenant.ts';

const LIMITS = { maxWaiting: 1e6, maxWaitingPerTenant: 1e6, maxSequences: 8, maxWaitMs: 100 };

/** Who goes first, by a look at everybody. */
function firstOf(queue: FairQueue, passed: ReadonlySet<Tenant>, nowMs: number): Sequence | undefined {
  const waiting = [...queue.waiting()].filter((sequence) => !passed.has(queue.tenantOf(sequence)));
  const isOwed = (tenant: Tenant): boolean => tenant.numRunning + 1 <= queue.shareOf(tenant);
  const overdue = waiting.filter((one) => queue.isOverdue(one, nowMs) && isOwed(queue.tenantOf(one)));
  if (overdue.length > 0) return overdue.toSorted((a, b) => a.waitingSinceMs - b.waitingSinceMs)[0];
  let best: Tenant | undefined;
  for (const sequence of waiting) {
    const tenant = queue.tenantOf(sequence);
    if (!best || isServedLess(tenant, best)) best = tenant;
  }
  return best?.waiting[0];
}

test('whoever begins and whoever is passed over, the next is the one that a look at everybody finds', () => {
  let [numBegun, numPassed, numLate] = [0, 0, 0];
  for (let seed = 0; seed < 300; seed++) {
    const rng = Rng.fromSeed(seed);
    const queue = new FairQueue(LIMITS);
    const numTenants = 1 + rng.nextBelow(12);
    for (let order = 0; order < 40; order++) {
      const tenant = `t${rng.nextBelow(numTenants)}`;
      const sequence = makeSequence(String(order), {
        tenant,
        priority: rng.nextBelow(2),
        weight: 1 + rng.nextBelow(3),
      });
      sequence.order = order;
      queue.add(sequence, 7 * order);
      // Some have been served, and wait for more.
      if (rng.nextFloat() < 0.3) queue.charge(sequence, rng.nextBelow(50));
    }
    const nowMs = 40 + rng.nextBelow(250);
    const line = queue.line(nowMs);
    const passed = new Set<Tenant>();
    for (;;) {
      const sequence = line.next();
      assert.equal(sequence, firstOf(queue, passed, nowMs), `seed ${seed}`);
      if (!sequence) break;
      const tenant = queue.tenantOf(sequence);
      if (queue.isOverdue(sequence, nowMs)) numLate++;
      if (rng.nextFloat() < 0.25) {
        numPassed++;
        passed.add(tenant);
        line.pass(tenant);
        continue;
      }
      numBegun++;
      queue.begin(sequence, nowMs);
      sequence.hasBegun = true;
      queue.charge(sequence, rng.nextBelow(20));
      line.begun(sequence, tenant);
    }
  }
  assert.ok(Math.min(numBegun, numPassed, numLate) > 300, `${numBegun} ${numPassed} ${numLate}`);
});
