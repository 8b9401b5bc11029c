import { assert } from '../../base/index.ts';
import type { EntryTraits, EvictionPolicy } from './eviction-policy.ts';

/** The books of one tier of memory: which keys it holds, their exact bytes, its budget. The values are the caller's. */
export class MemoryTier {
  readonly budgetBytes: number;
  readonly #policy: EvictionPolicy;
  readonly #entries = new Map<string, { readonly sizeBytes: number; numHolds: number }>();
  #sizeBytes = 0;
  #heldBytes = 0;
  #numEvicted = 0;

  constructor(budgetBytes: number, policy: EvictionPolicy) {
    this.budgetBytes = budgetBytes;
    this.#policy = policy;
  }

  get count(): number {
    return this.#entries.size;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Bytes of what is in use, and so cannot go. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Keys that have gone to make room, ever. */
  get numEvicted(): number {
    return this.#numEvicted;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  sizeOf(key: string): number {
    return this.#entries.get(key)?.sizeBytes ?? 0;
  }

  add(key: string, traits: EntryTraits): void {
    assert(!this.#entries.has(key), `${key} comes in once`);
    this.#entries.set(key, { sizeBytes: traits.sizeBytes, numHolds: 0 });
    this.#sizeBytes += traits.sizeBytes;
    this.#policy.admit(key, traits);
  }

  hold(key: string): void {
    const entry = this.#find(key);
    if (entry.numHolds++ > 0) {
      this.#policy.touch(key);
      return;
    }
    this.#heldBytes += entry.sizeBytes;
    this.#policy.hold(key);
  }

  release(key: string): void {
    const entry = this.#find(key);
    assert(entry.numHolds > 0, `${key} is held`);
    if (--entry.numHolds > 0) return;
    this.#heldBytes -= entry.sizeBytes;
    this.#policy.release(key);
  }

  /** @returns the bytes that it had */
  remove(key: string): number {
    const entry = this.#find(key);
    assert(entry.numHolds === 0, `${key} is not in use`);
    this.#policy.remove(key);
    return this.#forget(key);
  }

  /**
   * Lets idle keys go until `bytes` more fit into the budget. When what is in use leaves no room for them, nothing goes.
   * @param onEvict told of each key that has gone
   * @returns whether they fit now
   */
  makeRoom(bytes: number, onEvict: (key: string) => void): boolean {
    if (this.#heldBytes + bytes > this.budgetBytes) return false;
    while (this.#sizeBytes + bytes > this.budgetBytes) if (!this.#evictOne(onEvict)) return false;
    return true;
  }

  /** Lets idle keys go until the budget is kept, or nothing is idle. */
  trim(onEvict: (key: string) => void): void {
    while (this.#sizeBytes > this.budgetBytes && this.#evictOne(onEvict));
  }

  #evictOne(onEvict: (key: string) => void): boolean {
    const key = this.#policy.victim();
    if (key === undefined) return false;
    this.#forget(key);
    this.#numEvicted++;
    onEvict(key);
    return true;
  }

  #find(key: string): { readonly sizeBytes: number; numHolds: number } {
    const entry = this.#entries.get(key);
    assert(entry, `${key} is in the tier`);
    return entry;
  }

  #forget(key: string): number {
    const { sizeBytes } = this.#find(key);
    this.#entries.delete(key);
    this.#sizeBytes -= sizeBytes;
    return sizeBytes;
  }
}
