/**
 * What waits for work that is done one after the other, fair to tenants: each tenant's own in order of arrival, the tenants in turn. So one tenant that
 * asks for a hundred cold adapters, or a hundred grammars, delays another's first by one of them, not by a hundred. What several tenants ask for
 * stands in the queue of each, and goes when it is the first one's turn.
 */
export class TurnQueue<Item> {
  /** By tenant, in the order in which their turns come. */
  readonly #queues = new Map<string | null, Set<Item>>();
  /** Who asks for what. */
  readonly #askers = new Map<Item, Set<string | null>>();

  /** Items, each once. */
  get length(): number {
    return this.#askers.size;
  }

  /** @returns false: the tenant asks for it already */
  push(tenant: string | null, item: Item): boolean {
    const queue = this.#queues.get(tenant) ?? new Set();
    if (queue.has(item)) return false;
    queue.add(item);
    this.#queues.set(tenant, queue);
    const askers = this.#askers.get(item) ?? new Set();
    askers.add(tenant);
    this.#askers.set(item, askers);
    return true;
  }

  /** The first of each tenant, in the order of their turns. */
  *heads(): Iterable<{ readonly tenant: string | null; readonly item: Item }> {
    for (const [tenant, queue] of this.#queues) {
      for (const item of queue) {
        yield { tenant, item };
        break;
      }
    }
  }

  /** Takes out one of {@link heads}; its tenant's next turn comes after everybody else's, and who asks for it too keeps its turn. */
  take(tenant: string | null, item: Item): void {
    const queue = this.#queues.get(tenant);
    if (!queue?.has(item)) return;
    this.remove(item);
    if (!this.#queues.delete(tenant)) return;
    this.#queues.set(tenant, queue);
  }

  /** Whoever asks for it. */
  remove(item: Item): void {
    for (const tenant of this.#askers.get(item) ?? []) this.#leave(tenant, item);
    this.#askers.delete(item);
  }

  /** One tenant asks for it no more. */
  leave(tenant: string | null, item: Item): void {
    const askers = this.#askers.get(item);
    if (!askers?.delete(tenant)) return;
    this.#leave(tenant, item);
    if (askers.size === 0) this.#askers.delete(item);
  }

  #leave(tenant: string | null, item: Item): void {
    const queue = this.#queues.get(tenant);
    queue?.delete(item);
    if (queue?.size === 0) this.#queues.delete(tenant);
  }
}
