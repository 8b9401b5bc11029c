import type { CompiledAdapter } from '../../adapters/index.ts';
import { asEspalierError, EspalierError, TurnQueue, type Lease } from '../../base/index.ts';
import { sizeOfBuffers } from './buffers.ts';
import type { AdapterLoader } from './loader.ts';
import type { Slot } from './slot.ts';

/** An adapter in memory, and its weight in a mix. */
export interface LeasedPart {
  readonly lease: Lease<CompiledAdapter>;
  readonly weight: number;
}

interface MixingOptions {
  readonly loader: AdapterLoader;
  /** Whether so many bytes more fit beside what is in use. */
  readonly makeRoom: (sizeBytes: number) => boolean;
  readonly onMade: (slot: Slot, adapter: CompiledAdapter) => void;
  readonly onFailed: (slot: Slot, error: EspalierError) => void;
}

interface Making {
  readonly slot: Slot;
  readonly parts: readonly LeasedPart[];
}

/**
 * The mixes that are made, on the loader's thread, where a step does not wait for it: one at a time, so that a load waits for one at most, and tenants
 * in turn. What a mix is made of stays in memory until it is made or given up.
 */
export class AdapterMixing {
  readonly #options: MixingOptions;
  readonly #queue = new TurnQueue<Making>();
  readonly #waiting = new Map<Slot, Making>();
  #isMaking = false;
  #reservedBytes = 0;

  constructor(options: MixingOptions) {
    this.#options = options;
  }

  /** Of the mix that is made, by an estimate; 0 where there was no room for it when it began. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  /** @param parts their leases are this class's from now on */
  push(slot: Slot, parts: readonly LeasedPart[]): void {
    slot.isQueued = true;
    slot.sizeBytes = sizeOfBuffers(parts.map(({ lease: { value } }) => [value.sites, value.program]));
    const making = { slot, parts };
    this.#waiting.set(slot, making);
    this.#queue.push(slot.source.tenant, making);
    this.#beginNext();
  }

  /** Another tenant waits for one that has not begun, or none of it does any more. */
  setAsker(slot: Slot, tenant: string | null, isWaiting: boolean): void {
    const making = this.#waiting.get(slot);
    if (!making) return;
    if (isWaiting) this.#queue.push(tenant, making);
    else this.#queue.leave(tenant, making);
  }

  /** Gives up one that has not begun. @returns whether there was one */
  remove(slot: Slot): boolean {
    const making = this.#waiting.get(slot);
    if (!making) return false;
    this.#queue.remove(making);
    this.#begun(making);
    release(making);
    return true;
  }

  #begun({ slot }: Making): void {
    this.#waiting.delete(slot);
    slot.isQueued = false;
  }

  #beginNext(): void {
    const [next] = this.#isMaking ? [] : this.#queue.heads();
    if (!next) return;
    this.#queue.take(next.tenant, next.item);
    this.#begun(next.item);
    void this.#make(next.item);
  }

  async #make(making: Making): Promise<void> {
    const { loader, makeRoom, onMade, onFailed } = this.#options;
    const { slot, parts } = making;
    this.#isMaking = true;
    slot.isLoading = true;
    if (makeRoom(slot.sizeBytes)) this.#reservedBytes = slot.sizeBytes;
    const made = await loader
      .mix(parts.map(({ lease, weight }) => ({ adapter: lease.value, weight })))
      .catch((error: unknown) => asEspalierError(error));
    slot.isLoading = false;
    this.#isMaking = false;
    this.#reservedBytes = 0;
    if (made instanceof EspalierError) onFailed(slot, made);
    else onMade(slot, made);
    // Not before: what is idle could go for the mix's room, though the next mix is most likely of the same parts.
    release(making);
    this.#beginNext();
  }
}

function release({ parts }: Making): void {
  for (const { lease } of parts) lease[Symbol.dispose]();
}
