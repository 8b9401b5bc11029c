import { fail, type Clock } from '../base/index.ts';
import type { TenantLimits } from './limits.ts';
import { TokenBucket, type BudgetState } from './token-bucket.ts';

/** What is left of a tenant's minute; null: it has no such limit. */
export interface RateState {
  readonly requests: BudgetState | null;
  readonly tokens: BudgetState | null;
}

/** Tokens that were taken for a request before it began. */
export interface Reservation {
  readonly count: number;
  /** The request is over and has used so many: the others are given back. Once; more than were reserved cannot be used. */
  settle(used: number): void;
}

interface Buckets {
  readonly requests: TokenBucket;
  readonly tokens: TokenBucket;
}

/** When so many tenants are kept, those whose minute is whole are forgotten. */
const MAX_IDLE = 10_000;
const NOTHING: Reservation = { count: 0, settle: () => undefined };

/** Requests and tokens per minute of every tenant, of this process. The operator (null) has no limits. */
export class RateLimits {
  readonly #limitsOf: (tenant: string) => TenantLimits;
  readonly #clock: Clock;
  readonly #buckets = new Map<string, Buckets>();
  #sweepAt = MAX_IDLE;

  /** @param limitsOf asked each time, so that a change counts from the next request on */
  constructor(limitsOf: (tenant: string) => TenantLimits, clock: Clock) {
    this.#limitsOf = limitsOf;
    this.#clock = clock;
  }

  /** Counts a request. @throws OVERLOADED with the time after which it would be let in */
  takeRequest(tenant: string | null): void {
    const limit = tenant === null ? null : this.#limitsOf(tenant).requestsPerMinute;
    if (tenant === null || limit === null) return;
    const waitMs = this.#bucketsOf(tenant).requests.take(1, limit, this.#clock.nowMs());
    if (waitMs > 0) refuse(`${tenant} may send ${limit} requests per minute`, waitMs);
  }

  /** The most that a single request of the tenant can reserve; null: there is no limit. */
  largestReservation(tenant: string | null): number | null {
    return tenant === null ? null : this.#limitsOf(tenant).tokensPerMinute;
  }

  /**
   * Takes the tokens that a request may use at most, prompt and answer.
   * @throws OVERLOADED they are not there now; REQUEST_INVALID they never will be
   */
  reserve(tenant: string | null, count: number): Reservation {
    const limit = this.largestReservation(tenant);
    if (tenant === null || limit === null) return NOTHING;
    if (count > limit) {
      const what = `the request may use ${count} tokens, prompt and answers, and ${tenant} has ${limit} per minute`;
      fail('REQUEST_INVALID', `${what}: ask for fewer, with a smaller max_tokens`, { param: 'max_tokens' });
    }
    const { tokens } = this.#bucketsOf(tenant);
    const waitMs = tokens.take(count, limit, this.#clock.nowMs());
    if (waitMs > 0) {
      const { remaining } = tokens.state(limit, this.#clock.nowMs());
      refuse(
        `${tenant} may use ${limit} tokens per minute, has ${remaining} now, and the request asks ${count}`,
        waitMs,
      );
    }
    let isSettled = false;
    const settle = (used: number): void => {
      if (isSettled) return;
      isSettled = true;
      tokens.giveBack(Math.max(0, count - used));
    };
    return { count, settle };
  }

  /** What is left now; null for who has no limits at all. */
  state(tenant: string | null): RateState | null {
    if (tenant === null) return null;
    const { requestsPerMinute, tokensPerMinute } = this.#limitsOf(tenant);
    if (requestsPerMinute === null && tokensPerMinute === null) return null;
    const { requests, tokens } = this.#bucketsOf(tenant);
    const nowMs = this.#clock.nowMs();
    return {
      requests: requestsPerMinute === null ? null : requests.state(requestsPerMinute, nowMs),
      tokens: tokensPerMinute === null ? null : tokens.state(tokensPerMinute, nowMs),
    };
  }

  /** Tenants that are kept in memory. */
  get size(): number {
    return this.#buckets.size;
  }

  #bucketsOf(tenant: string): Buckets {
    const known = this.#buckets.get(tenant);
    if (known) return known;
    const nowMs = this.#clock.nowMs();
    if (this.#buckets.size >= this.#sweepAt) this.#forgetIdle(nowMs);
    const buckets = { requests: new TokenBucket(nowMs), tokens: new TokenBucket(nowMs) };
    this.#buckets.set(tenant, buckets);
    return buckets;
  }

  #forgetIdle(nowMs: number): void {
    for (const [tenant, { requests, tokens }] of this.#buckets) {
      const { requestsPerMinute, tokensPerMinute } = this.#limitsOf(tenant);
      const isIdle = requests.isFull(requestsPerMinute ?? 1, nowMs) && tokens.isFull(tokensPerMinute ?? 1, nowMs);
      if (isIdle) this.#buckets.delete(tenant);
    }
    // Where nearly all are busy, not each new one costs a look at all.
    this.#sweepAt = Math.max(MAX_IDLE, 2 * this.#buckets.size);
  }
}

/** A limit of nothing has no time at which to come back. */
const FOREVER_MS = 3_600_000;

function refuse(why: string, waitMs: number): never {
  const retryAfterMs = Number.isFinite(waitMs) ? waitMs : FOREVER_MS;
  return fail('OVERLOADED', `${why}: try again in ${Math.ceil(retryAfterMs / 1000)} s`, { retryAfterMs });
}
