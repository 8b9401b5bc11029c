import type { Sequence } from '../sequence.ts';
import { isServedLess, type Tenant } from './tenant.ts';

interface LineOptions {
  /** Those with something that waits, in any order. */
  readonly tenants: Iterable<Tenant>;
  /** Sequences that have waited longer than anybody should, with their tenants. */
  readonly overdue: readonly { readonly sequence: Sequence; readonly tenant: Tenant }[];
  /** Whether one more place would be within the tenant's part. */
  readonly isOwed: (tenant: Tenant) => boolean;
}

/**
 * Who begins next, within one step. Everybody is looked at once, however many begin or are passed over: with thousands of tenants waiting a
 * look at all of them for each would take longer than the step.
 */
export class Line {
  readonly #tenants: Tenant[];
  readonly #isOwed: (tenant: Tenant) => boolean;
  readonly #passed = new Set<Tenant>();
  #overdue: LineOptions['overdue'];
  /** Those before it have been passed over, or have nothing left. */
  #at = 0;

  constructor({ tenants, overdue, isOwed }: LineOptions) {
    this.#tenants = [...tenants].sort(byService);
    this.#overdue = overdue.toSorted((a, b) => a.sequence.waitingSinceMs - b.sequence.waitingSinceMs);
    this.#isOwed = isOwed;
  }

  /** The one that goes first; it stays so until it begins or its tenant is passed over. */
  next(): Sequence | undefined {
    const late = this.#overdue.find(({ tenant }) => !this.#passed.has(tenant) && this.#isOwed(tenant));
    if (late) return late.sequence;
    while (this.#at < this.#tenants.length && !this.#canBegin(this.#tenants[this.#at])) this.#at++;
    return this.#tenants.at(this.#at)?.waiting[0];
  }

  /** The tenant is not asked any more in this step. */
  pass(tenant: Tenant): void {
    this.#passed.add(tenant);
  }

  /** A sequence of the tenant has begun: the tenant stands where its service puts it now, never before who goes first. */
  begun(sequence: Sequence, tenant: Tenant): void {
    if (this.#overdue.length > 0) this.#overdue = this.#overdue.filter((one) => one.sequence !== sequence);
    this.#tenants.splice(this.#tenants.indexOf(tenant, this.#at), 1);
    let [low, high] = [this.#at, this.#tenants.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (byService(this.#tenants[middle], tenant) < 0) low = middle + 1;
      else high = middle;
    }
    this.#tenants.splice(low, 0, tenant);
  }

  #canBegin(tenant: Tenant): boolean {
    return tenant.waiting.length > 0 && !this.#passed.has(tenant);
  }
}

function byService(a: Tenant, b: Tenant): number {
  return isServedLess(a, b) ? -1 : isServedLess(b, a) ? 1 : 0;
}
