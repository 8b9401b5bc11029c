import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../../base/index.ts';
import { makePolicy, POLICY_NAMES } from './eviction-policy.ts';
import { MemoryTier } from './memory-tier.ts';

for (const name of POLICY_NAMES) {
  test(`${name}: random comings, uses and goings keep exact books, and what is held never goes`, () => {
    for (let seed = 0; seed < 30; seed++) {
      const rng = Rng.fromSeed(seed, 'tier');
      const budget = 50 + rng.nextBelow(200);
      const tier = new MemoryTier(budget, makePolicy(name));
      const sizes = new Map<string, number>();
      const holds: string[] = [];
      const evict = (key: string): void => {
        assert.ok(sizes.delete(key), `${key} was there`);
        assert.ok(!holds.includes(key), `${key} was not held`);
      };
      for (let turn = 0; turn < 400; turn++) {
        const key = `${rng.nextBelow(40)}`;
        const action = rng.nextBelow(10);
        if (action < 5 && !tier.has(key)) {
          const sizeBytes = 1 + rng.nextBelow(20);
          const heldBytes = [...new Set(holds)].reduce((sum, held) => sum + (sizes.get(held) ?? 0), 0);
          const fits = tier.makeRoom(sizeBytes, evict);
          assert.equal(fits, heldBytes + sizeBytes <= budget, 'it fits when what is held leaves room');
          if (fits) {
            tier.add(key, { sizeBytes, cost: 1 });
            sizes.set(key, sizeBytes);
          }
        } else if (action < 7 && tier.has(key) && holds.length < 6) {
          tier.hold(key);
          holds.push(key);
        } else if (action < 9 && holds.length > 0) {
          tier.release(holds.splice(rng.nextBelow(holds.length), 1)[0]);
        } else if (tier.has(key) && !holds.includes(key)) {
          assert.equal(tier.remove(key), sizes.get(key));
          sizes.delete(key);
        }
        const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
        assert.deepEqual([tier.count, tier.sizeBytes], [sizes.size, total]);
        assert.ok(total <= budget);
        const held = [...new Set(holds)].reduce((sum, one) => sum + (sizes.get(one) ?? 0), 0);
        assert.equal(tier.heldBytes, held);
      }
      for (const key of holds.splice(0)) tier.release(key);
      assert.ok(tier.makeRoom(budget, evict), 'without holds everything can go');
      assert.deepEqual([tier.count, tier.sizeBytes, sizes.size], [0, 0, 0]);
    }
  });
}

test('when what is held leaves no room, nothing goes', () => {
  const tier = new MemoryTier(100, makePolicy('lru'));
  tier.add('held', { sizeBytes: 60, cost: 1 });
  tier.hold('held');
  tier.add('idle', { sizeBytes: 30, cost: 1 });
  assert.equal(
    tier.makeRoom(50, () => assert.fail('nothing may go')),
    false,
  );
  assert.equal(tier.count, 2);
});
