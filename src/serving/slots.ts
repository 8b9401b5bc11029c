import type { Lease } from '../base/index.ts';
import { Lease as LeaseOf } from '../base/index.ts';
import type { CompiledAdapter } from '../adapters/index.ts';

interface Slot {
  readonly adapter: CompiledAdapter;
  users: number;
  /** Order of last use. */
  lastUsed: number;
}

/**
 * Adapters in memory, by digest: `absent -> ready <-> in use -> absent`. One that is in use is under a lease and cannot go;
 * of the others, the least recently used go first when their bytes exceed the budget.
 */
export class AdapterSlots {
  readonly #load: (directory: string) => CompiledAdapter;
  readonly #budgetBytes: number;
  readonly #slots = new Map<string, Slot>();
  #clock = 0;

  constructor(load: (directory: string) => CompiledAdapter, budgetBytes: number) {
    this.#load = load;
    this.#budgetBytes = budgetBytes;
  }

  get count(): number {
    return this.#slots.size;
  }

  get sizeBytes(): number {
    let sum = 0;
    for (const { adapter } of this.#slots.values()) sum += adapter.sizeBytes;
    return sum;
  }

  /** Loads the adapter if it is absent. @throws what loading throws; nothing is kept then */
  acquire(digest: string, directory: string): Lease<CompiledAdapter> {
    let slot = this.#slots.get(digest);
    if (!slot) {
      slot = { adapter: this.#load(directory), users: 0, lastUsed: 0 };
      this.#slots.set(digest, slot);
    }
    const held = slot;
    held.users++;
    held.lastUsed = ++this.#clock;
    this.#evict();
    return new LeaseOf(held.adapter, () => {
      held.users--;
      this.#evict();
    });
  }

  #evict(): void {
    let excess = this.sizeBytes - this.#budgetBytes;
    const idle = [...this.#slots]
      .filter(([, slot]) => slot.users === 0)
      .toSorted(([, a], [, b]) => a.lastUsed - b.lastUsed);
    for (const [digest, slot] of idle) {
      if (excess <= 0) return;
      this.#slots.delete(digest);
      excess -= slot.adapter.sizeBytes;
    }
  }
}
