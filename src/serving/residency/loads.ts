import type { CompiledAdapter } from '../../adapters/index.ts';
import { EspalierError, TurnQueue, type Clock } from '../../base/index.ts';
import type { LoadObservation } from '../messages.ts';
import type { HostTier } from './host-tier.ts';
import { crowdedOut, unavailable } from './load-failures.ts';
import { tryLoad, type AdapterLoader } from './loader.ts';
import type { Slot } from './slot.ts';

/** Loads that the loader has at once: one that it works on, and the next. */
const MAX_LOADING = 2;

interface LoadsOptions {
  readonly loader: AdapterLoader;
  readonly clock: Clock;
  readonly host: HostTier;
  /** What does not fit beside what is in use waits no longer. */
  readonly maxWaitMs: number;
  readonly onLoad: (observation: LoadObservation) => void;
  /** Whether a load may begin: its bytes have room; an error when they never will. */
  readonly mayBegin: (slot: Slot) => boolean | EspalierError;
  readonly onLoaded: (slot: Slot, adapter: CompiledAdapter) => void;
  readonly onFailed: (slot: Slot, error: EspalierError) => void;
  /** There is no room for it: nothing is wrong with it. */
  readonly onRefused: (slot: Slot, error: EspalierError) => void;
}

interface Next {
  readonly slot: Slot;
  /** Whose turn it is; undefined: it is urgent. */
  readonly tenant: string | null | undefined;
  readonly error?: EspalierError;
}

/** Looks at those that wait, within the longest wait. */
const LOOKS = 8;

/**
 * The loads that wait and the ones that run. A load begins when its turn has come and its bytes fit beside what is in use. Until they do, smaller
 * ones of other tenants pass it, for half of the longest wait; at the end of that it is given up.
 */
export class AdapterLoads {
  readonly #options: LoadsOptions;
  readonly #queue = new TurnQueue<Slot>();
  /** Before the queue: whoever waits for these holds what others may be waiting for. */
  readonly #urgent = new Set<Slot>();
  readonly #counts = { hostLoads: 0, diskLoads: 0, failedLoads: 0 };
  #timer: NodeJS.Timeout | undefined;
  #numLoading = 0;
  #reservedBytes = 0;

  constructor(options: LoadsOptions) {
    this.#options = options;
  }

  /** Of the loads that run, by their estimates. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  get counts() {
    return { ...this.#counts, numLoading: this.#numLoading, numWaiting: this.#queue.length + this.#urgent.size };
  }

  push(slot: Slot): void {
    slot.isQueued = true;
    slot.queuedAtMs = this.#options.clock.nowMs();
    if (slot.isUrgent) this.#urgent.add(slot);
    else this.#queue.push(slot.source.tenant, slot);
    this.begin();
  }

  /** Another tenant waits for one that waits already, or none of it does any more: it goes at the best of its askers' places. */
  setAsker(slot: Slot, tenant: string | null, isWaiting: boolean): void {
    if (!slot.isQueued || slot.isUrgent) return;
    if (!isWaiting) this.#queue.leave(tenant, slot);
    else if (this.#queue.push(tenant, slot)) this.begin();
  }

  /** One that waits already goes before all that are not urgent. */
  hasten(slot: Slot): void {
    if (slot.isUrgent) return;
    slot.isUrgent = true;
    this.#queue.remove(slot);
    this.#urgent.add(slot);
    this.begin();
  }

  remove(slot: Slot): void {
    slot.isQueued = false;
    slot.isUrgent = false;
    this.#queue.remove(slot);
    this.#urgent.delete(slot);
  }

  /** Begins what can begin now, and gives up what has waited too long: for when something has gone. */
  begin(): void {
    while (this.#numLoading < MAX_LOADING) {
      const next = this.#next();
      if (!next) break;
      const { slot, tenant, error } = next;
      this.#urgent.delete(slot);
      if (tenant !== undefined) this.#queue.take(tenant, slot);
      slot.isQueued = false;
      slot.isUrgent = false;
      if (error) this.#options.onRefused(slot, error);
      else void this.#load(slot);
    }
    this.#watch();
  }

  /** The first that can begin, or will not: tenants in turn. One that has waited for half of its time is passed no more. */
  #next(): Next | undefined {
    const { clock, maxWaitMs, mayBegin } = this.#options;
    const urgent = [...this.#urgent].map((item) => ({ tenant: undefined, item }));
    for (const { tenant, item: slot } of [...urgent, ...this.#queue.heads()]) {
      const verdict = mayBegin(slot);
      if (verdict === true) return { slot, tenant };
      if (verdict !== false) return { slot, tenant, error: verdict };
      const waitedMs = clock.nowMs() - slot.queuedAtMs;
      if (waitedMs >= maxWaitMs) return { slot, tenant, error: crowdedOut(waitedMs) };
      if (2 * waitedMs >= maxWaitMs) return undefined;
    }
    return undefined;
  }

  /** What is in use for ever makes no room and says nothing: whoever waits for it is looked at now and then. */
  #watch(): void {
    if (this.#queue.length + this.#urgent.size === 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.begin();
    }, this.#options.maxWaitMs / LOOKS).unref();
  }

  async #load(slot: Slot): Promise<void> {
    const { host, clock, loader, onLoad, onLoaded, onFailed } = this.#options;
    const { digest, source, sizeBytes: reservedBytes } = slot;
    slot.isLoading = true;
    this.#numLoading++;
    this.#reservedBytes += reservedBytes;
    const lent = host.lend(digest);
    const from = lent ? 'host' : 'disk';
    const begunMs = clock.nowMs();
    const loaded = await tryLoad(loader, source, lent);
    const seconds = (clock.nowMs() - begunMs) / 1000;
    const isLoaded = !(loaded instanceof EspalierError);
    slot.isLoading = false;
    this.#numLoading--;
    this.#reservedBytes -= reservedBytes;
    if (lent) host.giveBack(digest, isLoaded ? loaded.files : undefined);
    else if (isLoaded) host.keep(digest, loaded.files);
    this.#counts[isLoaded ? LOADS[from] : 'failedLoads']++;
    onLoad({ digest, from, seconds, isLoaded });
    if (isLoaded) onLoaded(slot, loaded.adapter);
    else onFailed(slot, unavailable(source, loaded));
    this.begin();
  }
}

const LOADS = { host: 'hostLoads', disk: 'diskLoads' } as const;
