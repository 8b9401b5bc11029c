import type { CompiledAdapter } from '../../adapters/index.ts';
import { EspalierError, type Clock } from '../../base/index.ts';
import type { LoadObservation } from '../messages.ts';
import type { HostTier } from './host-tier.ts';
import { unavailable } from './load-failures.ts';
import { LoadQueue } from './load-queue.ts';
import { tryLoad, type AdapterLoader } from './loader.ts';
import type { Slot } from './slot.ts';

/** Loads that the loader has at once: one that it works on, and the next. */
const MAX_LOADING = 2;

interface LoadsOptions {
  readonly loader: AdapterLoader;
  readonly clock: Clock;
  readonly host: HostTier;
  readonly onLoad: (observation: LoadObservation) => void;
  /** Whether a load may begin: its bytes have room beside so many more; an error when they never will. */
  readonly mayBegin: (slot: Slot, reservedBytes: number) => boolean | EspalierError;
  readonly onLoaded: (slot: Slot, adapter: CompiledAdapter) => void;
  readonly onFailed: (slot: Slot, error: EspalierError) => void;
}

/** The loads that wait and the ones that run. A load begins when its turn has come and its bytes fit. */
export class AdapterLoads {
  readonly #options: LoadsOptions;
  readonly #queue = new LoadQueue<Slot>();
  readonly #counts = { hostLoads: 0, diskLoads: 0, failedLoads: 0 };
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
    return { ...this.#counts, numLoading: this.#numLoading, numWaiting: this.#queue.length };
  }

  push(slot: Slot): void {
    slot.isQueued = true;
    this.#queue.push(slot.source.tenant, slot);
    this.begin();
  }

  remove(slot: Slot): void {
    slot.isQueued = false;
    this.#queue.remove(slot.source.tenant, slot);
  }

  /** Begins what can begin now: for when something has gone. */
  begin(): void {
    while (this.#numLoading < MAX_LOADING) {
      const slot = this.#queue.peek();
      if (!slot) return;
      const verdict = this.#options.mayBegin(slot, this.#reservedBytes);
      if (verdict === false) return;
      this.#queue.shift();
      slot.isQueued = false;
      if (verdict === true) void this.#load(slot);
      else this.#options.onFailed(slot, verdict);
    }
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
