import { assert } from '../../base/index.ts';
import type { PeftFiles } from '../../formats/index.ts';
import { freeBuffers, sizeOfBuffers } from './buffers.ts';
import type { EvictionPolicy } from './eviction-policy.ts';
import { loadCost } from './load-cost.ts';
import { MemoryTier } from './memory-tier.ts';

/** Artefacts in memory, byte for byte as they are stored, so that an adapter that comes back reads no disk. */
export class HostTier {
  readonly books: MemoryTier;
  readonly #files = new Map<string, PeftFiles>();
  readonly #onEvict: (digest: string) => void;

  /** @param onEvict told of each artefact that has gone to make room */
  constructor(budgetBytes: number, policy: EvictionPolicy, onEvict: (digest: string) => void) {
    this.books = new MemoryTier(budgetBytes, policy);
    this.#onEvict = onEvict;
  }

  has(digest: string): boolean {
    return this.books.has(digest);
  }

  /** The artefact, out of the tier's hands until {@link giveBack}: the loader's thread gets its memory, not a copy. */
  lend(digest: string): PeftFiles | undefined {
    const files = this.#files.get(digest);
    if (!files) return undefined;
    this.#files.delete(digest);
    this.books.hold(digest);
    return files;
  }

  /** Undefined: it is lost. */
  giveBack(digest: string, files: PeftFiles | undefined): void {
    this.books.release(digest);
    if (files) this.#files.set(digest, files);
    else this.books.remove(digest);
  }

  /** Keeps an artefact if it fits. @returns whether it did; its memory is given back otherwise */
  keep(digest: string, files: PeftFiles): boolean {
    assert(!this.has(digest), `${digest} comes in once`);
    const sizeBytes = sizeOfBuffers(files);
    const fits = this.books.makeRoom(sizeBytes, (evicted) => {
      this.#free(evicted);
      this.#onEvict(evicted);
    });
    if (!fits) {
      freeBuffers(files);
      return false;
    }
    this.books.add(digest, { sizeBytes, cost: loadCost(sizeBytes) });
    this.#files.set(digest, files);
    return true;
  }

  /** @returns the bytes that were freed */
  drop(digest: string): number {
    if (!this.has(digest)) return 0;
    this.#free(digest);
    return this.books.remove(digest);
  }

  #free(digest: string): void {
    freeBuffers(this.#files.get(digest));
    this.#files.delete(digest);
  }
}
