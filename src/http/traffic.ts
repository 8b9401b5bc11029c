import type { Clock } from '../base/index.ts';

/** An interval of {@link Traffic}; {@link NUM_INTERVALS} are kept. */
export const INTERVAL_MS = 15_000;
export const NUM_INTERVALS = 240;
/** Tenants that an interval counts by name; what further ones ask is counted in the totals alone. */
const MAX_TENANTS = 1000;

/** A request to a model that has ended. */
export interface EndedRequest {
  /** Null: the operator, or nobody known. */
  readonly tenant: string | null;
  readonly hasFailed: boolean;
  readonly seconds: number;
  readonly firstTokenSeconds: number | null;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

/** What ended in an interval, in sums. */
export interface Counts {
  requests: number;
  errors: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  seconds: number;
  firstTokens: number;
  firstTokenSeconds: number;
}

export interface Interval extends Counts {
  /** Its beginning in milliseconds since 1970. */
  readonly at: number;
}

interface Slot {
  readonly at: number;
  readonly total: Counts;
  readonly byTenant: Map<string, Counts>;
}

/** Requests to models of the last hour, by interval and tenant: enough for a look at what goes on, nothing that a bill could rest on. */
export class Traffic {
  readonly #clock: Clock;
  /** In the order of time; intervals in which nothing ended are absent. */
  #slots: Slot[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(request: EndedRequest): void {
    const at = this.#now();
    let slot = this.#slots.at(-1);
    // A clock that was set back counts on in the newest interval.
    if (!slot || slot.at < at) {
      slot = { at, total: none(), byTenant: new Map() };
      this.#slots = [...this.#slots.filter(({ at: begun }) => begun > at - NUM_INTERVALS * INTERVAL_MS), slot];
    }
    count(slot.total, request);
    if (request.tenant === null) return;
    const known = slot.byTenant.get(request.tenant);
    const counts = known ?? none();
    if (!known && slot.byTenant.size >= MAX_TENANTS) return;
    slot.byTenant.set(request.tenant, counts);
    count(counts, request);
  }

  /** The last hour's intervals in which something ended. @param tenant null: all requests */
  series(tenant: string | null): Interval[] {
    return this.#recent().flatMap(({ at, total, byTenant }) => {
      const counts = tenant === null ? total : byTenant.get(tenant);
      return counts ? [{ at, ...counts }] : [];
    });
  }

  /** Sums of the last hour by tenant, the one with the most requests first. */
  byTenant(): { readonly tenant: string; readonly counts: Counts }[] {
    const sums = new Map<string, Counts>();
    for (const { byTenant } of this.#recent()) {
      for (const [tenant, counts] of byTenant) {
        const sum = sums.get(tenant) ?? none();
        for (const key of Object.keys(sum) as (keyof Counts)[]) sum[key] += counts[key];
        sums.set(tenant, sum);
      }
    }
    return [...sums]
      .map(([tenant, counts]) => ({ tenant, counts }))
      .toSorted((a, b) => b.counts.requests - a.counts.requests);
  }

  #recent(): Slot[] {
    const oldest = this.#now() - NUM_INTERVALS * INTERVAL_MS;
    return this.#slots.filter(({ at }) => at > oldest);
  }

  #now(): number {
    return Math.floor(this.#clock.epochMs() / INTERVAL_MS) * INTERVAL_MS;
  }
}

function none(): Counts {
  return {
    requests: 0,
    errors: 0,
    promptTokens: 0,
    cachedTokens: 0,
    completionTokens: 0,
    seconds: 0,
    firstTokens: 0,
    firstTokenSeconds: 0,
  };
}

function count(counts: Counts, request: EndedRequest): void {
  counts.requests++;
  if (request.hasFailed) counts.errors++;
  counts.promptTokens += request.promptTokens;
  counts.cachedTokens += request.cachedTokens;
  counts.completionTokens += request.completionTokens;
  counts.seconds += request.seconds;
  if (request.firstTokenSeconds === null) return;
  counts.firstTokens++;
  counts.firstTokenSeconds += request.firstTokenSeconds;
}
