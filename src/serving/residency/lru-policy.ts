import type { EvictionPolicy } from './eviction-policy.ts';

/** Least recently used. Simple and scan-prone: once the working set exceeds the budget in a cycle, it hits nothing. */
export class LruPolicy implements EvictionPolicy {
  /** Idle keys; a Map iterates in the order of insertion, so the first is the least recently used. */
  readonly #idle = new Map<string, true>();

  admit(key: string): void {
    this.#idle.set(key, true);
  }

  hold(key: string): void {
    this.#idle.delete(key);
  }

  release(key: string): void {
    this.#idle.set(key, true);
  }

  touch(key: string): void {
    if (this.#idle.delete(key)) this.#idle.set(key, true);
  }

  remove(key: string): void {
    this.#idle.delete(key);
  }

  victim(): string | undefined {
    for (const key of this.#idle.keys()) {
      this.#idle.delete(key);
      return key;
    }
    return undefined;
  }
}
