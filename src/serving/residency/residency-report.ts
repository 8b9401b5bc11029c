import type { LoadFailures } from './load-failures.ts';
import type { MemoryTier } from './memory-tier.ts';
import type { AdapterResidence, TierStats } from '../messages.ts';
import type { Pins } from './pins.ts';
import type { Slot } from './slot.ts';

interface Resident {
  /** In the order in which they came. */
  readonly slots: ReadonlyMap<string, Slot>;
  readonly ready: MemoryTier;
  readonly host: MemoryTier;
  readonly pins: Pins;
}

/**
 * What is in memory for a tenant, or, for null, for anybody; the latest comers first, failures last. A tenant learns nothing of others:
 * of an adapter that several have, it sees its own requests and its own last use.
 */
export function listResidences(
  { slots, ready, host, pins }: Resident,
  failures: LoadFailures,
  tenant: string | null,
  limit: number,
): AdapterResidence[] {
  const found: AdapterResidence[] = [];
  for (const slot of [...slots.values()].toReversed()) {
    if (found.length >= limit) return found;
    const uses = tenant === null ? [...slot.tenants.values()] : [slot.tenants.get(tenant) ?? []].flat();
    const isWaiting = slot.isAwaitedBy(tenant);
    if (tenant !== null && uses.length === 0 && !isWaiting) continue;
    found.push({
      digest: slot.digest,
      state: slot.state,
      readyBytes: readySizeOf(slot, ready),
      hostBytes: host.sizeOf(slot.digest),
      numLeases: uses.reduce((sum, { numLeases }) => sum + numLeases, 0),
      isPinned: tenant === null ? pins.has(slot.digest) : pins.has(slot.digest, tenant),
      lastUsedMs: uses.length === 0 ? null : Math.max(...uses.map(({ lastUsedMs }) => lastUsedMs)),
    });
  }
  for (const [digest, failure] of failures.entries()) {
    if (found.length >= limit) return found;
    if (slots.has(digest) || (tenant !== null && failure.tenant !== tenant)) continue;
    const nowhere = { readyBytes: 0, hostBytes: 0, numLeases: 0, isPinned: false, lastUsedMs: null };
    found.push({ digest, state: 'failed', ...nowhere, reason: failure.error.message });
  }
  return found;
}

/** Bytes that a slot's adapter has, ready to be used: of the tier, or beside it. */
export function readySizeOf({ digest, sizeBytes, isLoose }: Slot, ready: MemoryTier): number {
  return isLoose ? sizeBytes : ready.sizeOf(digest);
}

export function tierStats({ count, sizeBytes, heldBytes, budgetBytes, numEvicted }: MemoryTier): TierStats {
  return { count, sizeBytes, heldBytes, budgetBytes, numEvicted };
}
