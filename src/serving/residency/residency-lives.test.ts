/** Random lives of adapters, under every policy. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import {
  beginAnew,
  FILES,
  loader,
  Request,
  residencyOf,
  SIZE,
  sourceOf,
} from '../../../test/support/residency-world.ts';
import { EspalierError, Rng } from '../../base/index.ts';
import { sizeOfBuffers } from './buffers.ts';
import { POLICY_NAMES, type PolicyName } from './eviction-policy.ts';

beforeEach(beginAnew);

for (const policy of POLICY_NAMES) {
  test(`random lives with ${policy}: everybody is told once, books are exact, budgets are kept, leased memory is whole`, async () => {
    const events = { cancelled: 0, broken: 0, waited: 0 };
    for (let seed = 0; seed < 20; seed++) await live(seed, policy, events);
    for (const [what, count] of Object.entries(events)) assert.ok(count > 0, `some were ${what}`);
  });
}

async function live(
  seed: number,
  policy: PolicyName,
  events: { cancelled: number; broken: number; waited: number },
): Promise<void> {
  const rng = Rng.fromSeed(seed, 'life');
  const residency = residencyOf({
    policy,
    readyBytes: (2 + rng.nextBelow(6)) * SIZE,
    hostBytes: rng.nextBelow(6) * FILES,
  });
  const requests: Request[] = [];
  const digestOf = (): string => `d${Math.floor(12 * rng.nextFloat() ** 2)}`;
  const tenantOf = (): string => ['acme', 'globex', 'initech'][rng.nextBelow(3)];
  const check = (): void => {
    const { ready, host } = residency.stats();
    assert.ok(ready.sizeBytes <= ready.budgetBytes && host.sizeBytes <= host.budgetBytes);
    const listed = residency.list(null, 100);
    const sum = (of: 'readyBytes' | 'hostBytes'): number => listed.reduce((total, one) => total + one[of], 0);
    assert.deepEqual([ready.sizeBytes, host.sizeBytes], [sum('readyBytes'), sum('hostBytes')]);
    for (const { lease } of requests) if (lease) assert.equal(sizeOfBuffers(lease.value), SIZE);
  };
  for (let n = 0; n < 300; n++) {
    const action = rng.nextBelow(10);
    if (action < 4) {
      requests.push(new Request(residency, sourceOf(digestOf(), tenantOf())));
    } else if (action < 7) {
      const leased = requests.filter(({ lease }) => lease);
      if (leased.length > 0) leased[rng.nextBelow(leased.length)].end();
    } else if (action < 8) {
      const pending = requests.filter(({ ticket }) => ticket.isPending);
      if (pending.length > 0 && rng.nextBelow(3) === 0) {
        pending[rng.nextBelow(pending.length)].ticket.cancel();
        events.cancelled++;
      } else {
        residency.unload(digestOf(), tenantOf());
      }
    } else if (loader.running.length > 0) {
      const digest = loader.running[rng.nextBelow(loader.running.length)];
      if (rng.nextBelow(8) === 0) {
        events.broken++;
        await loader.fail(digest, new EspalierError('ADAPTER_INVALID', 'broken'));
      } else {
        await loader.finish(digest);
      }
    }
    events.waited += residency.stats().numWaiting;
    check();
  }
  // Everybody ends, and whoever waits gets its turn.
  for (let guard = 0; requests.some(({ ticket, lease }) => ticket.isPending || lease); guard++) {
    assert.ok(guard < 1_000, 'every wait comes to its end');
    for (const request of requests) request.end();
    for (const digest of loader.running) await loader.finish(digest);
    check();
  }
  while (loader.running.length > 0) await loader.finish(loader.running[0]);
  await turn();
  for (const { digest } of residency.list(null, 100)) {
    for (const tenant of ['acme', 'globex', 'initech']) residency.unload(digest, tenant);
  }
  const { ready, host, numLoading, numWaiting } = residency.stats();
  assert.deepEqual([ready.sizeBytes, ready.heldBytes, host.sizeBytes, numLoading, numWaiting], [0, 0, 0, 0, 0]);
  assert.deepEqual(residency.list(null, 100), []);
}
