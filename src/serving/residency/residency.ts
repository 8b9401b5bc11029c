import type { CompiledAdapter } from '../../adapters/index.ts';
import { assert, Lease, type Clock, type EspalierError } from '../../base/index.ts';
import { sizeOfBuffers } from './buffers.ts';
import { DEFAULT_POLICY, makePolicy } from './eviction-policy.ts';
import { HostTier } from './host-tier.ts';
import { loadCost } from './load-cost.ts';
import { LoadFailures, tooLarge, unloadedMeanwhile } from './load-failures.ts';
import type { AdapterLoader } from './loader.ts';
import { AdapterLoads } from './loads.ts';
import { MemoryTier } from './memory-tier.ts';
import type {
  AdapterResidence,
  AdapterSource,
  LoadObservation,
  ResidencyStats,
  ResidencyOptions,
  UnloadReport,
} from '../messages.ts';
import { Pins } from './pins.ts';
import { listResidences, tierStats } from './residency-report.ts';
import { Slot, type Ticket, type Waiter } from './slot.ts';

/** Part of the ready tier that may be pinned: the rest is always left to whoever comes. */
const MAX_PINNED_PART = 0.5;
/** A load that does not fit beside what is in use waits so long, at most. */
const DEFAULT_MAX_WAIT_MS = 30_000;

/**
 * Which adapters are in memory, in two tiers: `host` keeps an artefact's bytes as they are stored, `ready` keeps what steps use. Loading
 * (read, check, compile, prove) is the loader's, on another thread; here are the states, the waits and the books. No call takes time that
 * grows with the number of adapters known. A load begins when its bytes fit beside what is in use; until then it waits its turn, and
 * only requests for that adapter wait with it. An adapter larger than the whole budget fails.
 */
export class AdapterResidency {
  readonly #loader: AdapterLoader;
  readonly #clock: Clock;
  readonly #slots = new Map<string, Slot>();
  readonly #ready: MemoryTier;
  readonly #host: HostTier;
  readonly #pins: Pins;
  readonly #loads: AdapterLoads;
  readonly #failures: LoadFailures;
  readonly #counts = { hits: 0, misses: 0 };

  constructor(
    loader: AdapterLoader,
    clock: Clock,
    { readyBytes, hostBytes, policy = DEFAULT_POLICY, maxWaitMs = DEFAULT_MAX_WAIT_MS }: ResidencyOptions,
    onLoad: (observation: LoadObservation) => void = () => undefined,
  ) {
    this.#loader = loader;
    this.#clock = clock;
    this.#ready = new MemoryTier(readyBytes, makePolicy(policy));
    this.#host = new HostTier(hostBytes, makePolicy(policy), (digest) => this.#forgetIfAbsent(this.#slotOf(digest)));
    this.#pins = new Pins(readyBytes * MAX_PINNED_PART);
    this.#failures = new LoadFailures(clock);
    this.#loads = new AdapterLoads({
      loader,
      clock,
      host: this.#host,
      maxWaitMs,
      onLoad,
      mayBegin: (slot, reservedBytes) =>
        this.refusalOf([slot]) ?? this.#ready.makeRoom(reservedBytes + slot.sizeBytes, this.#afterEviction),
      onLoaded: (slot, adapter) => this.#receive(slot, adapter),
      onFailed: (slot, error) => this.#fail(slot, error),
      onRefused: (slot, error) => this.#refuse(slot, error),
    });
  }

  /**
   * A lease on the adapter, at once when it is ready, later when it has been loaded. Any number of waits for one adapter cause one load.
   * `onFailed` gets ADAPTER_UNAVAILABLE with the reason; until its time to retry, an adapter that failed fails at once.
   */
  acquire(source: AdapterSource, on: Pick<Waiter, 'onReady' | 'onFailed' | 'isUrgent'>): Ticket {
    return this.#want(source, { ...on, tenant: source.tenant, isPin: false });
  }

  /** As {@link acquire}, but the adapter stays in memory for this tenant until {@link unload}. `onFailed` gets OVERLOADED too. */
  pin(source: AdapterSource, onPinned: (sizeBytes: number) => void, onFailed: (error: EspalierError) => void): Ticket {
    const { tenant, digest } = source;
    const onReady = (lease: Lease<CompiledAdapter>): void => {
      const slot = this.#slotOf(digest);
      // What is unloaded on its way, and pinned nevertheless, stays.
      slot.isLeaving = false;
      const error = this.#pins.add(digest, tenant, slot.sizeBytes, lease);
      if (error) onFailed(error);
      else onPinned(slot.sizeBytes);
    };
    return this.#want(source, { tenant, isPin: true, onReady, onFailed });
  }

  /**
   * Takes in an adapter that was made from others here. It is counted and evicted like one that was loaded, and does not need the others.
   * @param adapter its program is its own; what else it shares with others is copied
   * @returns undefined when it does not fit beside what is in use
   */
  keep(digest: string, tenant: string | null, adapter: CompiledAdapter): Lease<CompiledAdapter> | undefined {
    assert(!this.#slots.has(digest), `${digest} is made once`);
    const sizeBytes = sizeOfBuffers(adapter);
    if (!this.#ready.makeRoom(this.#loads.reservedBytes + sizeBytes, this.#afterEviction)) return undefined;
    const slot = new Slot({ digest, directory: '', tenant, sizeBytes });
    // Each buffer is copied once, however many tensors view it.
    slot.adapter = { ...adapter, sites: structuredClone(adapter.sites), sizeBytes };
    this.#slots.set(digest, slot);
    this.#ready.add(digest, { sizeBytes, cost: loadCost(sizeBytes) });
    return this.#lease(slot, { tenant, isPin: false });
  }

  isReady(digest: string): boolean {
    return this.#slots.get(digest)?.adapter !== undefined;
  }

  /** Why these adapters can never be in memory together beside what is pinned; undefined when they can. */
  refusalOf(
    adapters: readonly { readonly digest: string; readonly sizeBytes?: number | undefined }[],
  ): EspalierError | undefined {
    let neededBytes = 0;
    for (const { digest, sizeBytes = 0 } of adapters) {
      if (!this.#pins.has(digest)) neededBytes += this.#slots.get(digest)?.sizeBytes ?? sizeBytes;
    }
    const roomBytes = this.#ready.budgetBytes - this.#pins.sizeBytes;
    return neededBytes > roomBytes ? tooLarge(neededBytes, roomBytes) : undefined;
  }

  /**
   * Takes a tenant's pin off, and the adapter out of every tier when no other tenant has it there. What requests use goes when the last
   * of them ends.
   */
  unload(digest: string, tenant: string | null): UnloadReport {
    this.#pins.remove(digest, tenant);
    this.#failures.forget(digest);
    const slot = this.#slots.get(digest);
    if (slot) this.#cancelPins(slot, tenant);
    if (!slot || !this.#slots.has(digest)) return { freedBytes: 0, inUseBytes: 0, sharedBytes: 0 };
    const heldBytes = this.#ready.sizeOf(digest) + this.#host.books.sizeOf(digest);
    if (slot.isOthersToo(tenant) || this.#pins.hasOther(digest, tenant)) {
      const use = slot.tenants.get(tenant);
      if (use) use.isLeaving = true;
      slot.leave(tenant);
      return { freedBytes: 0, inUseBytes: 0, sharedBytes: heldBytes };
    }
    if (slot.isLoading || slot.isQueued || slot.numLeases > 0) {
      slot.isLeaving = true;
      return { freedBytes: 0, inUseBytes: heldBytes, sharedBytes: 0 };
    }
    const freedBytes = this.#drop(slot);
    this.#loads.begin();
    return { freedBytes, inUseBytes: 0, sharedBytes: 0 };
  }

  /** Whoever waits to pin what is unloaded meanwhile pins nothing. */
  #cancelPins(slot: Slot, tenant: string | null): void {
    for (const waiter of slot.waiters) {
      if (!waiter.isPin || waiter.tenant !== tenant) continue;
      this.#leave(slot, waiter);
      waiter.onFailed(unloadedMeanwhile());
    }
  }

  /** {@link unload} of all that a tenant has in memory; what only the operator uses beside it was the tenant's, and goes too. */
  forget(tenant: string): { readonly adapters: number; readonly freedBytes: number } {
    const slots = [...this.#slots.values()].filter((slot) => slot.users.has(tenant));
    let freedBytes = 0;
    for (const { digest, users } of slots) {
      if ([...users].every((other) => other === tenant || other === null)) this.unload(digest, null);
      freedBytes += this.unload(digest, tenant).freedBytes;
    }
    return { adapters: slots.length, freedBytes };
  }

  /** What is in memory for a tenant, or, for null, for anybody; at most `limit`, the latest comers first. */
  list(tenant: string | null, limit: number): AdapterResidence[] {
    const tiers = { slots: this.#slots, ready: this.#ready, host: this.#host.books, pins: this.#pins };
    return listResidences(tiers, this.#failures, tenant, limit);
  }

  stats(): ResidencyStats {
    const counts = { ...this.#counts, ...this.#loads.counts };
    const tiers = { ready: tierStats(this.#ready), host: tierStats(this.#host.books) };
    return { ...counts, ...tiers, pinnedBytes: this.#pins.sizeBytes, numFailed: this.#failures.count };
  }

  /** A lease on an adapter that is ready; undefined when it is not, and then nothing is loaded. */
  acquireReady(digest: string, tenant: string | null): Lease<CompiledAdapter> | undefined {
    const slot = this.#slots.get(digest);
    return slot?.adapter && this.#leaseAgain(slot, { tenant, isPin: false });
  }

  #leaseAgain(slot: Slot, by: Pick<Waiter, 'tenant' | 'isPin'>): Lease<CompiledAdapter> {
    if (!by.isPin) this.#counts.hits++;
    slot.isLeaving = false;
    return this.#lease(slot, by);
  }

  #want(source: AdapterSource, waiter: Waiter): Ticket {
    const { digest } = source;
    const known = this.#slots.get(digest);
    if (known?.adapter) {
      waiter.onReady(this.#leaseAgain(known, waiter));
      return DONE;
    }
    const error = this.#failures.check(digest);
    if (error) {
      waiter.onFailed(error);
      return DONE;
    }
    if (!waiter.isPin) this.#counts.misses++;
    const slot = known ?? new Slot(source);
    this.#slots.set(digest, slot);
    slot.waiters.add(waiter);
    slot.isLeaving = false;
    if (!slot.isLoading && !slot.isQueued) {
      slot.source = source;
      slot.isUrgent = waiter.isUrgent === true;
      this.#loads.push(slot);
    } else if (slot.isQueued && waiter.isUrgent) {
      this.#loads.hasten(slot);
    }
    return {
      get isPending() {
        return slot.waiters.has(waiter);
      },
      cancel: () => this.#leave(slot, waiter),
    };
  }

  #leave(slot: Slot, waiter: Waiter): void {
    if (!slot.waiters.delete(waiter) || slot.waiters.size > 0 || !slot.isQueued) return;
    this.#loads.remove(slot);
    if (slot.isLeaving) this.#drop(slot);
    this.#forgetIfAbsent(slot);
    this.#loads.begin();
  }

  #receive(slot: Slot, adapter: CompiledAdapter): void {
    const sizeBytes = sizeOfBuffers(adapter);
    slot.sizeBytes = sizeBytes;
    const error = this.refusalOf([slot]);
    if (error) {
      this.#loader.reclaim(adapter);
      this.#fail(slot, error);
      return;
    }
    this.#failures.forget(slot.digest);
    slot.adapter = adapter;
    this.#ready.add(slot.digest, { sizeBytes, cost: loadCost(sizeBytes) });
    // All leases first: a waiter that lets go at once must not take the adapter from the next.
    const leased = [...slot.waiters].map((waiter) => ({ waiter, lease: this.#lease(slot, waiter) }));
    slot.waiters.clear();
    // The estimate may have been too low.
    this.#ready.trim(this.#afterEviction);
    for (const { waiter, lease } of leased) waiter.onReady(lease);
    if (slot.isLeaving && slot.numLeases === 0) this.#drop(slot);
  }

  #fail(slot: Slot, error: EspalierError): void {
    this.#failures.remember(slot.source, error);
    this.#refuse(slot, error);
  }

  #refuse(slot: Slot, error: EspalierError): void {
    const waiters = [...slot.waiters];
    slot.waiters.clear();
    slot.isLeaving = false;
    this.#forgetIfAbsent(slot);
    for (const waiter of waiters) waiter.onFailed(error);
  }

  #lease(slot: Slot, { tenant, isPin }: Pick<Waiter, 'tenant' | 'isPin'>): Lease<CompiledAdapter> {
    assert(slot.adapter, `${slot.digest} is ready`);
    this.#ready.hold(slot.digest);
    const end = slot.use(tenant, isPin, this.#clock.epochMs());
    return new Lease(slot.adapter, () => {
      end();
      this.#ready.release(slot.digest);
      if (slot.numLeases === 0 && (slot.isLeaving || slot.users.size === 0)) this.#drop(slot);
      this.#ready.trim(this.#afterEviction);
      this.#loads.begin();
    });
  }

  /** Out of every tier. @returns the bytes that were freed */
  #drop(slot: Slot): number {
    let freedBytes = this.#host.drop(slot.digest);
    if (slot.adapter) {
      freedBytes += this.#ready.remove(slot.digest);
      this.#afterEviction(slot.digest);
    }
    this.#forgetIfAbsent(slot);
    return freedBytes;
  }

  readonly #afterEviction = (digest: string): void => {
    const slot = this.#slotOf(digest);
    if (slot.adapter) this.#loader.reclaim(slot.adapter);
    slot.adapter = undefined;
    slot.isLeaving = false;
    this.#forgetIfAbsent(slot);
  };

  #forgetIfAbsent(slot: Slot): void {
    const isHere = slot.adapter || slot.isLoading || slot.isQueued || this.#host.has(slot.digest);
    if (!isHere) this.#slots.delete(slot.digest);
  }

  #slotOf(digest: string): Slot {
    const slot = this.#slots.get(digest);
    assert(slot, `${digest} has a slot`);
    return slot;
  }
}

const DONE: Ticket = { isPending: false, cancel: () => undefined };
