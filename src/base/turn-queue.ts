/**
 * What waits for work that is done one after the other, fair to tenants: each tenant's own in order of arrival, the tenants in turn. So one tenant that
 * asks for a hundred cold adapters, or a hundred grammars, delays another's first by one of them, not by a hundred.
 */
export class TurnQueue<Item> {
  /** By tenant, in the order in which their turns come. */
  readonly #queues = new Map<string | null, Set<Item>>();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(tenant: string | null, item: Item): void {
    const queue = this.#queues.get(tenant) ?? new Set();
    if (queue.has(item)) return;
    queue.add(item);
    this.#queues.set(tenant, queue);
    this.#length++;
  }

  /** The first of each tenant, in the order of their turns. */
  *heads(): Iterable<Item> {
    for (const queue of this.#queues.values()) {
      for (const item of queue) {
        yield item;
        break;
      }
    }
  }

  /** Takes out one of {@link heads}; its tenant's next turn comes after everybody else's. */
  take(tenant: string | null, item: Item): void {
    const queue = this.#queues.get(tenant);
    if (!queue?.delete(item)) return;
    this.#length--;
    this.#queues.delete(tenant);
    if (queue.size > 0) this.#queues.set(tenant, queue);
  }

  remove(tenant: string | null, item: Item): void {
    const queue = this.#queues.get(tenant);
    if (!queue?.delete(item)) return;
    this.#length--;
    if (queue.size === 0) this.#queues.delete(tenant);
  }
}
