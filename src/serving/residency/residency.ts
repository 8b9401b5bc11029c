import type { CompiledAdapter } from '../../adapters/index.ts';
import type { Clock, EspalierError, Lease } from '../../base/index.ts';
import { sizeOfBuffers } from './buffers.ts';
import { DEFAULT_POLICY } from './eviction-policy.ts';
import { LoadFailures, tooLarge, unloadedMeanwhile } from './load-failures.ts';
import type { AdapterLoader } from './loader.ts';
import { AdapterLoads } from './loads.ts';
import { AdapterMixing, type LeasedPart } from './mixing.ts';
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
import { Residents } from './residents.ts';
import type { Slot, Ticket, Waiter } from './slot.ts';

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
  readonly #residents: Residents;
  readonly #pins: Pins;
  readonly #loads: AdapterLoads;
  readonly #mixing: AdapterMixing;
  readonly #failures: LoadFailures;
  readonly #counts = { hits: 0, misses: 0 };

  constructor(
    loader: AdapterLoader,
    clock: Clock,
    { readyBytes, hostBytes, policy = DEFAULT_POLICY, maxWaitMs = DEFAULT_MAX_WAIT_MS }: ResidencyOptions,
    onLoad: (observation: LoadObservation) => void = () => undefined,
  ) {
    this.#loader = loader;
    this.#pins = new Pins(readyBytes * MAX_PINNED_PART);
    this.#failures = new LoadFailures(clock);
    this.#residents = new Residents({
      loader,
      clock,
      readyBytes,
      hostBytes,
      policy,
      reservedBytes: () => this.#loads.reservedBytes + this.#mixing.reservedBytes,
      onReleased: () => this.#loads.begin(),
    });
    this.#loads = new AdapterLoads({
      loader,
      clock,
      host: this.#residents.host,
      maxWaitMs,
      onLoad,
      mayBegin: (slot) => this.refusalOf([slot]) ?? this.#residents.makeRoom(slot.sizeBytes),
      onLoaded: (slot, adapter) => this.#receive(slot, adapter),
      onFailed: (slot, error) => this.#fail(slot, error),
      onRefused: (slot, error) => this.#refuse(slot, error),
    });
    this.#mixing = new AdapterMixing({
      loader,
      makeRoom: (sizeBytes) => this.#residents.makeRoom(sizeBytes),
      onMade: (slot, adapter) => this.#receiveMix(slot, adapter),
      onFailed: (slot, error) => this.#refuse(slot, error),
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
      const slot = this.#residents.slotOf(digest);
      // What is unloaded on its way, and pinned nevertheless, stays.
      slot.isLeaving = false;
      const error = this.#pins.add(digest, tenant, slot.sizeBytes, lease);
      if (error) onFailed(error);
      else onPinned(slot.sizeBytes);
    };
    return this.#want(source, { tenant, isPin: true, onReady, onFailed });
  }

  /**
   * A lease on the sum of adapters that are here, once it has been made: any number of waits for one mix make it once. It is counted and evicted like
   * an adapter that was loaded, and does not need the others. Where there is no room for it beside them it lives as long as its leases.
   * @param parts their leases are the residency's from now on
   */
  mix(
    { digest, tenant }: Pick<AdapterSource, 'digest' | 'tenant'>,
    parts: readonly LeasedPart[],
    on: Pick<Waiter, 'onReady' | 'onFailed'>,
  ): Ticket {
    const waiter: Waiter = { ...on, tenant, isPin: false };
    const slot = this.#residents.slotFor({ digest, directory: '', tenant });
    const isThere = slot.adapter !== undefined || slot.isQueued || slot.isLoading;
    // Before the parts go, which may take what is idle with them.
    const lease = slot.adapter && this.#leaseAgain(slot, waiter);
    if (!lease) this.#wait(slot, waiter);
    if (isThere) for (const part of parts) part.lease[Symbol.dispose]();
    else this.#mixing.push(slot, parts);
    this.#mixing.setAsker(slot, tenant, true);
    if (lease) waiter.onReady(lease);
    return slot.ticketOf(waiter, () => this.#leave(slot, waiter));
  }

  isReady(digest: string): boolean {
    return this.#residents.slots.get(digest)?.adapter !== undefined;
  }

  /** Why these adapters can never be in memory together beside what is pinned; undefined when they can. */
  refusalOf(
    adapters: readonly { readonly digest: string; readonly sizeBytes?: number | undefined }[],
  ): EspalierError | undefined {
    let neededBytes = 0;
    for (const { digest, sizeBytes = 0 } of adapters) {
      if (!this.#pins.has(digest)) neededBytes += this.#residents.slots.get(digest)?.sizeBytes ?? sizeBytes;
    }
    const roomBytes = this.#residents.ready.budgetBytes - this.#pins.sizeBytes;
    return neededBytes > roomBytes ? tooLarge(neededBytes, roomBytes) : undefined;
  }

  /**
   * Takes a tenant's pin off, and the adapter out of every tier when no other tenant has it there. What requests use goes when the last
   * of them ends.
   */
  unload(digest: string, tenant: string | null): UnloadReport {
    this.#pins.remove(digest, tenant);
    this.#failures.forget(digest);
    const slot = this.#residents.slots.get(digest);
    if (slot) this.#cancelPins(slot, tenant);
    if (!slot || !this.#residents.slots.has(digest)) return { freedBytes: 0, inUseBytes: 0, sharedBytes: 0 };
    const heldBytes = this.#residents.sizeOf(slot);
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
    const freedBytes = this.#residents.drop(slot);
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
    const slots = [...this.#residents.slots.values()].filter((slot) => slot.users.has(tenant));
    let freedBytes = 0;
    for (const { digest, users } of slots) {
      if ([...users].every((other) => other === tenant || other === null)) this.unload(digest, null);
      freedBytes += this.unload(digest, tenant).freedBytes;
    }
    return { adapters: slots.length, freedBytes };
  }

  /** What is in memory for a tenant, or, for null, for anybody; at most `limit`, the latest comers first. */
  list(tenant: string | null, limit: number): AdapterResidence[] {
    const { slots, ready, host } = this.#residents;
    const tiers = { slots, ready, host: host.books, pins: this.#pins };
    return listResidences(tiers, this.#failures, tenant, limit);
  }

  stats(): ResidencyStats {
    const counts = { ...this.#counts, ...this.#loads.counts };
    const { ready, host, loose } = this.#residents;
    const tiers = { ready: tierStats(ready), host: tierStats(host.books), loose };
    return { ...counts, ...tiers, pinnedBytes: this.#pins.sizeBytes, numFailed: this.#failures.count };
  }

  /** A lease on an adapter that is ready; undefined when it is not, and then nothing is loaded. */
  acquireReady(digest: string, tenant: string | null): Lease<CompiledAdapter> | undefined {
    const slot = this.#residents.slots.get(digest);
    return slot?.adapter && this.#leaseAgain(slot, { tenant, isPin: false });
  }

  #leaseAgain(slot: Slot, by: Pick<Waiter, 'tenant' | 'isPin'>): Lease<CompiledAdapter> {
    if (!by.isPin) this.#counts.hits++;
    slot.isLeaving = false;
    return this.#residents.lease(slot, by);
  }

  #want(source: AdapterSource, waiter: Waiter): Ticket {
    const { digest } = source;
    const known = this.#residents.slots.get(digest);
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
    const slot = this.#residents.slotFor(source);
    this.#wait(slot, waiter);
    if (!slot.isLoading && !slot.isQueued) {
      slot.source = source;
      slot.isUrgent = waiter.isUrgent === true;
      this.#loads.push(slot);
    } else if (waiter.isUrgent && slot.isQueued) {
      this.#loads.hasten(slot);
    } else {
      this.#loads.setAsker(slot, waiter.tenant, true);
    }
    return slot.ticketOf(waiter, () => this.#leave(slot, waiter));
  }

  #wait(slot: Slot, waiter: Waiter): void {
    slot.waiters.add(waiter);
    slot.isLeaving = false;
  }

  #leave(slot: Slot, waiter: Waiter): void {
    if (!slot.waiters.delete(waiter) || !slot.isQueued) return;
    if (slot.waiters.size > 0) {
      if (slot.isAwaitedBy(waiter.tenant)) return;
      for (const work of [this.#loads, this.#mixing]) work.setAsker(slot, waiter.tenant, false);
      return;
    }
    if (!this.#mixing.remove(slot)) this.#loads.remove(slot);
    if (slot.isLeaving) this.#residents.drop(slot);
    this.#residents.forgetIfAbsent(slot);
    this.#loads.begin();
  }

  #receive(slot: Slot, adapter: CompiledAdapter): void {
    slot.sizeBytes = sizeOfBuffers(adapter);
    const error = this.refusalOf([slot]);
    if (error) {
      this.#loader.reclaim(adapter);
      this.#fail(slot, error);
      return;
    }
    this.#failures.forget(slot.digest);
    this.#residents.put(slot, adapter, slot.sizeBytes);
    this.#residents.tell(slot);
  }

  #receiveMix(slot: Slot, adapter: CompiledAdapter): void {
    if (slot.waiters.size === 0) {
      // The same weights are seldom asked for again.
      this.#loader.reclaim(adapter);
      this.#refuse(slot, unloadedMeanwhile());
      return;
    }
    slot.sizeBytes = sizeOfBuffers(adapter);
    const whole = { ...adapter, sizeBytes: slot.sizeBytes };
    if (this.#residents.makeRoom(slot.sizeBytes)) this.#residents.put(slot, whole, slot.sizeBytes);
    else this.#residents.putLoose(slot, whole);
    this.#residents.tell(slot);
  }

  #fail(slot: Slot, error: EspalierError): void {
    this.#failures.remember(slot.source, error);
    this.#refuse(slot, error);
  }

  #refuse(slot: Slot, error: EspalierError): void {
    const waiters = [...slot.waiters];
    slot.waiters.clear();
    slot.isLeaving = false;
    this.#residents.forgetIfAbsent(slot);
    for (const waiter of waiters) waiter.onFailed(error);
  }
}

const DONE: Ticket = { isPending: false, cancel: () => undefined };
