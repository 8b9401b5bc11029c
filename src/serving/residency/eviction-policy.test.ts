/** The policies against plain models of themselves, and against one another on the traffic that they are for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulate, TRAFFIC } from '../../../test/support/eviction-simulation.ts';
import { Rng } from '../../base/index.ts';
import { DEFAULT_POLICY, makePolicy, POLICY_NAMES, type EntryTraits, type EvictionPolicy } from './eviction-policy.ts';

/** Every rule written out over plain arrays: slow and obvious. */
interface PlainEntry extends EntryTraits {
  readonly key: string;
  numUses: number;
  priority: number;
  order: number;
  isHeld: boolean;
}

class PlainPolicy implements EvictionPolicy {
  readonly #entries = new Map<string, PlainEntry>();
  readonly #rank: (entry: PlainEntry) => number;
  #clock = 0;
  #order = 0;

  constructor(rank: (entry: PlainEntry) => number) {
    this.#rank = rank;
  }

  admit(key: string, traits: EntryTraits): void {
    this.#entries.set(key, { ...traits, key, numUses: 0, priority: this.#clock, order: this.#order++, isHeld: false });
  }

  hold(key: string): void {
    const entry = this.#use(key);
    entry.isHeld = true;
  }

  release(key: string): void {
    const entry = this.#find(key);
    entry.isHeld = false;
    this.#renew(entry);
  }

  touch(key: string): void {
    const entry = this.#use(key);
    if (!entry.isHeld) this.#renew(entry);
  }

  remove(key: string): void {
    this.#entries.delete(key);
  }

  victim(): string | undefined {
    const idle = [...this.#entries.values()].filter(({ isHeld }) => !isHeld);
    const [worst] = idle.toSorted((a, b) => this.#rank(a) - this.#rank(b));
    if (worst === undefined) return undefined;
    this.#clock = worst.priority;
    this.#entries.delete(worst.key);
    return worst.key;
  }

  #find(key: string): PlainEntry {
    return this.#entries.get(key) ?? assert.fail(key);
  }

  #use(key: string): PlainEntry {
    const entry = this.#find(key);
    entry.numUses++;
    return entry;
  }

  #renew(entry: PlainEntry): void {
    entry.order = this.#order++;
    entry.priority = this.#clock + (Math.min(16, entry.numUses) * entry.cost) / entry.sizeBytes;
  }
}

const MODELS = {
  lru: () => new PlainPolicy(({ order }) => order),
  gdsf: () => new PlainPolicy(({ priority }) => priority),
} as const;

for (const name of ['lru', 'gdsf'] as const) {
  test(`${name}: the victims are those of its rule written out`, () => {
    for (let seed = 0; seed < 40; seed++) {
      const rng = Rng.fromSeed(seed, 'policy');
      const [policy, model] = [makePolicy(name), MODELS[name]()];
      const idle = new Set<string>();
      const held = new Set<string>();
      const pick = (keys: ReadonlySet<string>): string => [...keys][rng.nextBelow(keys.size)];
      const both = (act: (each: EvictionPolicy) => void): void => [policy, model].forEach(act);
      for (let turn = 0; turn < 600; turn++) {
        const action = rng.nextBelow(12);
        if (action < 4) {
          const key = `${turn}`;
          // Costs that no two keys share, so that no two priorities are equal.
          const traits = { sizeBytes: 1 + rng.nextBelow(9), cost: 1 + rng.nextFloat() };
          both((each) => each.admit(key, traits));
          both((each) => each.touch(key));
          idle.add(key);
        } else if (action < 6 && idle.size > 0) {
          const key = pick(idle);
          both((each) => each.hold(key));
          idle.delete(key);
          held.add(key);
        } else if (action < 8 && held.size > 0) {
          const key = pick(held);
          both((each) => each.release(key));
          held.delete(key);
          idle.add(key);
        } else if (action < 9 && idle.size > 0) {
          const key = pick(idle);
          both((each) => each.touch(key));
        } else if (action < 10 && idle.size > 0) {
          const key = pick(idle);
          both((each) => each.remove(key));
          idle.delete(key);
        } else {
          const victim = model.victim();
          assert.equal(policy.victim(), victim, `seed ${seed}, turn ${turn}`);
          if (victim !== undefined) idle.delete(victim);
        }
      }
      for (let victim = model.victim(); victim !== undefined; victim = model.victim()) {
        assert.equal(policy.victim(), victim);
      }
      assert.equal(policy.victim(), undefined, 'what is held never goes');
    }
  });
}

test('s3-fifo: used once leaves first, used again stays, a ghost that comes back stays longer', () => {
  const policy = makePolicy('s3-fifo');
  const traits = { sizeBytes: 1, cost: 1 };
  for (const key of ['a', 'b', 'c']) policy.admit(key, traits);
  policy.touch('a');
  policy.touch('a');
  assert.equal(policy.victim(), 'b', 'a moved on to the main queue');
  policy.admit('b', traits);
  policy.admit('d', traits);
  // b is in the main queue now, c and d in the small one.
  assert.deepEqual([policy.victim(), policy.victim()], ['c', 'd']);
  policy.hold('a');
  assert.equal(policy.victim(), 'b');
  assert.equal(policy.victim(), undefined);
  policy.release('a');
  assert.equal(policy.victim(), 'a');
});

test('no cliff: under zipf with a working set of four budgets most requests still hit, with every policy', () => {
  for (const name of POLICY_NAMES) {
    const { hitRate } = simulate(name, TRAFFIC.zipf, {
      numAdapters: 400,
      budgetPart: 0.25,
      numRequests: 40_000,
      seed: 1,
    });
    assert.ok(hitRate > 0.6, `${name} hits ${hitRate}`);
  }
});

test('the default is better than lru under zipf, with scans in between, and where sizes differ', () => {
  for (const traffic of [TRAFFIC.zipf, TRAFFIC['zipf with scans'], TRAFFIC['zipf, mixed ranks']]) {
    const options = { numAdapters: 400, budgetPart: 0.25, numRequests: 40_000, seed: 2 };
    const lru = simulate('lru', traffic, options).hitRate;
    const ours = simulate(DEFAULT_POLICY, traffic, options).hitRate;
    assert.ok(ours > lru + 0.01, `${ours} against ${lru}`);
  }
});

test('the default is not stuck: when what is popular changes, it follows', () => {
  const options = { numAdapters: 400, budgetPart: 0.25, numRequests: 60_000, seed: 3 };
  const lru = simulate('lru', TRAFFIC.drifting, options).hitRate;
  const ours = simulate(DEFAULT_POLICY, TRAFFIC.drifting, options).hitRate;
  assert.ok(ours > lru, `${ours} against ${lru}`);
});
