import { overloaded, type QueueLimits } from '../scheduling/queue-limits.ts';
import type { Ticket } from './slot.ts';

export type WaitLimits = Pick<QueueLimits, 'maxWaiting' | 'maxWaitingPerTenant'>;

/** The requests that wait for their adapters, each tenant's counted: one tenant's cold adapters refuse nobody else. */
export class AdapterWaits {
  readonly #limits: WaitLimits;
  readonly #tickets = new Map<string, { readonly ticket: Ticket; readonly tenant: string | null }>();
  readonly #counts = new Map<string | null, number>();

  constructor(limits: WaitLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#tickets.size;
  }

  /** Why one more request of a tenant may not wait; undefined when it may. A tenant with less than its part is let in also beyond the whole. */
  refusalFor(tenant: string | null): Error | undefined {
    const { maxWaiting, maxWaitingPerTenant } = this.#limits;
    const numOwn = this.#counts.get(tenant) ?? 0;
    const numTenants = this.#counts.size + (numOwn === 0 ? 1 : 0);
    const isFull = this.size >= maxWaiting && numOwn >= Math.max(1, Math.floor(maxWaiting / numTenants));
    if (numOwn < maxWaitingPerTenant && !isFull) return undefined;
    const [count, whose] = isFull ? [this.size, ''] : [numOwn, ' of this tenant'];
    return overloaded(`${count} requests${whose} wait for their adapters already`, 0, { maxWaitMs: 0 });
  }

  add(id: string, tenant: string | null, ticket: Ticket): void {
    this.#tickets.set(id, { ticket, tenant });
    this.#counts.set(tenant, (this.#counts.get(tenant) ?? 0) + 1);
  }

  /** It waits no more. @returns its ticket, if it has waited */
  take(id: string): Ticket | undefined {
    const known = this.#tickets.get(id);
    if (!known) return undefined;
    this.#tickets.delete(id);
    const numLeft = (this.#counts.get(known.tenant) ?? 0) - 1;
    if (numLeft > 0) this.#counts.set(known.tenant, numLeft);
    else this.#counts.delete(known.tenant);
    return known.ticket;
  }
}
