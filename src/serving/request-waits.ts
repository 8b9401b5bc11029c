import { overloaded, type QueueLimits } from './scheduling/queue-limits.ts';

export type WaitLimits = Pick<QueueLimits, 'maxWaiting' | 'maxWaitingPerTenant'>;

/** A wait that can be given up. */
interface Wait {
  cancel(): void;
}

/** The requests that wait for something before the engine has them, each tenant's counted: one tenant's cold adapters refuse nobody else. */
export class RequestWaits {
  readonly #what: string;
  readonly #limits: WaitLimits;
  readonly #waits = new Map<string, { readonly wait: Wait; readonly tenant: string | null }>();
  readonly #counts = new Map<string | null, number>();

  /** @param what they wait for, in messages */
  constructor(what: string, limits: WaitLimits) {
    this.#what = what;
    this.#limits = limits;
  }

  get size(): number {
    return this.#waits.size;
  }

  /** Why one more request of a tenant may not wait; undefined when it may. A tenant with less than its part is let in also beyond the whole. */
  refusalFor(tenant: string | null): Error | undefined {
    const { maxWaiting, maxWaitingPerTenant } = this.#limits;
    const numOwn = this.#counts.get(tenant) ?? 0;
    const numTenants = this.#counts.size + (numOwn === 0 ? 1 : 0);
    const isFull = this.size >= maxWaiting && numOwn >= Math.max(1, Math.floor(maxWaiting / numTenants));
    if (numOwn < maxWaitingPerTenant && !isFull) return undefined;
    const [count, whose] = isFull ? [this.size, ''] : [numOwn, ' of this tenant'];
    return overloaded(`${count} requests${whose} wait for their ${this.#what} already`, 0, { maxWaitMs: 0 });
  }

  add(id: string, tenant: string | null, wait: Wait): void {
    this.#waits.set(id, { wait, tenant });
    this.#counts.set(tenant, (this.#counts.get(tenant) ?? 0) + 1);
  }

  /** It waits no more. @returns its wait, if it has waited */
  take(id: string): Wait | undefined {
    const known = this.#waits.get(id);
    if (!known) return undefined;
    this.#waits.delete(id);
    const numLeft = (this.#counts.get(known.tenant) ?? 0) - 1;
    if (numLeft > 0) this.#counts.set(known.tenant, numLeft);
    else this.#counts.delete(known.tenant);
    return known.wait;
  }
}
