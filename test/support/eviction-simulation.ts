import { Rng } from '../../src/base/index.ts';
import { makePolicy, type PolicyName } from '../../src/serving/residency/eviction-policy.ts';
import { loadCost } from '../../src/serving/residency/load-cost.ts';
import { MemoryTier } from '../../src/serving/residency/memory-tier.ts';

export interface SimulationOptions {
  readonly numAdapters: number;
  /** The budget as a part of all adapters' bytes. */
  readonly budgetPart: number;
  readonly numRequests: number;
  readonly seed: number;
  /** Requests in flight at once: each holds its adapter for that many turns. */
  readonly numInFlight?: number;
}

/** Which adapter the n-th request asks for, and how large adapters are. */
export interface Traffic {
  next(rng: Rng, n: number, numAdapters: number): number;
  sizeBytes(adapter: number): number;
}

/** An adapter of rank 8 on attention of a 135M model. */
const SIZE = 1_843_200;
const same = (): number => SIZE;

/** A whole number below `count`, the i-th with probability ~ 1/(i+1)^exponent. */
function zipf(rng: Rng, count: number, exponent = 1): number {
  let table = tables.get(`${count} ${exponent}`);
  if (!table) {
    const weights = Array.from({ length: count }, (_, i) => 1 / (i + 1) ** exponent);
    let sum = 0;
    table = weights.map((weight) => (sum += weight)).map((upTo) => upTo / sum);
    tables.set(`${count} ${exponent}`, table);
  }
  const at = rng.nextFloat();
  let [low, high] = [0, count - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (table[middle] < at) low = middle + 1;
    else high = middle;
  }
  return low;
}
const tables = new Map<string, number[]>();

export const TRAFFIC = {
  zipf: { next: (rng, _, count) => zipf(rng, count), sizeBytes: same },
  'zipf, mixed ranks': {
    next: (rng, _, count) => zipf(rng, count),
    // Ranks 4 to 64, whatever the popularity.
    sizeBytes: (adapter) => (SIZE / 8) * [4, 8, 16, 32, 64][(adapter * 7919) % 5],
  },
  'zipf with scans': {
    // Every 2,000 requests somebody asks every adapter once, as a nightly evaluation does.
    next: (rng, n, count) => (n % 2_000 < count ? n % 2_000 : zipf(rng, count)),
    sizeBytes: same,
  },
  uniform: { next: (rng, _, count) => rng.nextBelow(count), sizeBytes: same },
  cyclic: { next: (_, n, count) => n % count, sizeBytes: same },
  drifting: {
    // What is popular moves on by one adapter every 250 requests.
    next: (rng, n, count) => (zipf(rng, count) + Math.floor(n / 250)) % count,
    sizeBytes: same,
  },
} as const satisfies Record<string, Traffic>;

/** Serves requests from one tier: each holds its adapter for a while, a miss loads it. */
export function simulate(
  policy: PolicyName,
  traffic: Traffic,
  { numAdapters, budgetPart, numRequests, seed, numInFlight = 16 }: SimulationOptions,
): { readonly hitRate: number; readonly byteHitRate: number; readonly evictions: number } {
  const rng = Rng.fromSeed(seed, 'traffic');
  let totalBytes = 0;
  for (let adapter = 0; adapter < numAdapters; adapter++) totalBytes += traffic.sizeBytes(adapter);
  const tier = new MemoryTier(totalBytes * budgetPart, makePolicy(policy));
  const held: string[] = [];
  let [hits, hitBytes, bytes] = [0, 0, 0];
  for (let n = 0; n < numRequests; n++) {
    const adapter = traffic.next(rng, n, numAdapters);
    const [key, sizeBytes] = [`${adapter}`, traffic.sizeBytes(adapter)];
    bytes += sizeBytes;
    if (tier.has(key)) {
      hits++;
      hitBytes += sizeBytes;
    } else {
      while (!tier.makeRoom(sizeBytes, () => undefined)) tier.release(held.shift() ?? '');
      tier.add(key, { sizeBytes, cost: loadCost(sizeBytes) });
    }
    tier.hold(key);
    held.push(key);
    if (held.length > numInFlight) tier.release(held.shift() ?? '');
  }
  return { hitRate: hits / numRequests, byteHitRate: hitBytes / bytes, evictions: tier.numEvicted };
}
