import type { CompiledAdapter } from '../../adapters/index.ts';
import { assert, Lease, type Clock } from '../../base/index.ts';
import { makePolicy, type PolicyName } from './eviction-policy.ts';
import { HostTier } from './host-tier.ts';
import { loadCost } from './load-cost.ts';
import type { AdapterLoader } from './loader.ts';
import { MemoryTier } from './memory-tier.ts';
import { readySizeOf } from './residency-report.ts';
import { Slot, type Waiter } from './slot.ts';
import type { AdapterSource } from '../messages.ts';

interface ResidentsOptions {
  readonly loader: AdapterLoader;
  readonly clock: Clock;
  readonly readyBytes: number;
  readonly hostBytes: number;
  readonly policy: PolicyName;
  /** Of what is on its way. */
  readonly reservedBytes: () => number;
  /** A lease has ended: what waits for room may have it now. */
  readonly onReleased: () => void;
}

/**
 * The adapters that are in memory: their slots, the leases on them, and the books of both tiers. A mix that found no room in the ready tier is loose:
 * it is counted beside the tiers, in no budget, and goes with its last lease.
 */
export class Residents {
  readonly slots = new Map<string, Slot>();
  readonly ready: MemoryTier;
  readonly host: HostTier;
  readonly #options: ResidentsOptions;
  readonly #loose = { count: 0, sizeBytes: 0 };

  constructor(options: ResidentsOptions) {
    const { readyBytes, hostBytes, policy } = options;
    this.#options = options;
    this.ready = new MemoryTier(readyBytes, makePolicy(policy));
    this.host = new HostTier(hostBytes, makePolicy(policy), (digest) => this.forgetIfAbsent(this.slotOf(digest)));
  }

  /** The slot of an adapter, which may be new. */
  slotFor(source: AdapterSource): Slot {
    const slot = this.slots.get(source.digest) ?? new Slot(source);
    this.slots.set(source.digest, slot);
    return slot;
  }

  slotOf(digest: string): Slot {
    const slot = this.slots.get(digest);
    assert(slot, `${digest} has a slot`);
    return slot;
  }

  /** Lets idle adapters go until so many bytes fit beside what is in use or on its way. @returns whether they do */
  makeRoom(sizeBytes: number): boolean {
    return this.ready.makeRoom(this.#options.reservedBytes() + sizeBytes, this.#afterEviction);
  }

  /** Lets idle adapters go until the budget is kept. */
  trim(): void {
    this.ready.trim(this.#afterEviction);
  }

  /** Bytes of an adapter, wherever they are. */
  sizeOf(slot: Slot): number {
    return readySizeOf(slot, this.ready) + this.host.books.sizeOf(slot.digest);
  }

  /** Takes an adapter in. @param sizeBytes of its memory */
  put(slot: Slot, adapter: CompiledAdapter, sizeBytes: number): void {
    slot.adapter = adapter;
    this.ready.add(slot.digest, { sizeBytes, cost: loadCost(sizeBytes) });
  }

  /** As {@link put}, for what has no room: `slot.sizeBytes` of memory. */
  putLoose(slot: Slot, adapter: CompiledAdapter): void {
    slot.adapter = adapter;
    slot.isLoose = true;
    this.#countLoose(slot, 1);
  }

  /** Of the mixes that have no room in the ready tier. */
  get loose(): { readonly count: number; readonly sizeBytes: number } {
    return { ...this.#loose };
  }

  lease(slot: Slot, { tenant, isPin }: Pick<Waiter, 'tenant' | 'isPin'>): Lease<CompiledAdapter> {
    assert(slot.adapter, `${slot.digest} is ready`);
    if (!slot.isLoose) this.ready.hold(slot.digest);
    const end = slot.use(tenant, isPin, this.#options.clock.epochMs());
    return new Lease(slot.adapter, () => {
      end();
      if (!slot.isLoose) this.ready.release(slot.digest);
      const isDone = slot.isLeaving || slot.isLoose || slot.users.size === 0;
      if (slot.numLeases === 0 && isDone) this.drop(slot);
      this.trim();
      this.#options.onReleased();
    });
  }

  /** Gives all who wait for an adapter that is there now their leases. */
  tell(slot: Slot): void {
    // All leases first: a waiter that lets go at once must not take the adapter from the next.
    const leased = [...slot.waiters].map((waiter) => ({ waiter, lease: this.lease(slot, waiter) }));
    slot.waiters.clear();
    // The estimate may have been too low.
    this.trim();
    for (const { waiter, lease } of leased) waiter.onReady(lease);
    if (slot.isLeaving && slot.numLeases === 0) this.drop(slot);
  }

  /** Out of every tier. @returns the bytes that were freed */
  drop(slot: Slot): number {
    let freedBytes = this.host.drop(slot.digest);
    if (slot.adapter) {
      freedBytes += slot.isLoose ? slot.sizeBytes : this.ready.remove(slot.digest);
      this.#afterEviction(slot.digest);
    }
    this.forgetIfAbsent(slot);
    return freedBytes;
  }

  forgetIfAbsent(slot: Slot): void {
    const isHere = slot.adapter || slot.isLoading || slot.isQueued || this.host.has(slot.digest);
    if (!isHere) this.slots.delete(slot.digest);
  }

  readonly #afterEviction = (digest: string): void => {
    const slot = this.slotOf(digest);
    if (slot.adapter) this.#options.loader.reclaim(slot.adapter);
    slot.adapter = undefined;
    if (slot.isLoose) this.#countLoose(slot, -1);
    slot.isLoose = false;
    slot.isLeaving = false;
    this.forgetIfAbsent(slot);
  };

  #countLoose({ sizeBytes }: Slot, sign: 1 | -1): void {
    this.#loose.count += sign;
    this.#loose.sizeBytes += sign * sizeBytes;
  }
}
