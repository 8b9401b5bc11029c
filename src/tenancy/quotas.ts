import { assert, fail, Lease } from '../base/index.ts';

/** Requests in flight per tenant, of this process. A request holds its lease until its last byte. */
export class Quotas {
  readonly #limitOf: (tenant: string) => number | null;
  readonly #defaultLimit: number;
  readonly #numInFlight = new Map<string, number>();

  /** @param limitOf the tenant's own limit, or null for the default */
  constructor(limitOf: (tenant: string) => number | null, defaultLimit: number) {
    this.#limitOf = limitOf;
    this.#defaultLimit = defaultLimit;
  }

  /**
   * Admits one request. The operator (null) has no limit.
   * @throws OVERLOADED the tenant has as many requests in flight as it may
   */
  admit(tenant: string | null): Lease<string | null> {
    if (tenant === null) return new Lease(tenant, () => undefined);
    const limit = this.#limitOf(tenant) ?? this.#defaultLimit;
    const numInFlight = this.numInFlight(tenant);
    if (numInFlight >= limit) {
      fail('OVERLOADED', `${tenant} has ${numInFlight} requests in flight, its limit is ${limit}: wait for one to end`);
    }
    this.#numInFlight.set(tenant, numInFlight + 1);
    return new Lease(tenant, () => this.#release(tenant));
  }

  numInFlight(tenant: string): number {
    return this.#numInFlight.get(tenant) ?? 0;
  }

  #release(tenant: string): void {
    const left = this.numInFlight(tenant) - 1;
    assert(left >= 0, 'a request that ends was admitted');
    if (left === 0) this.#numInFlight.delete(tenant);
    else this.#numInFlight.set(tenant, left);
  }
}
