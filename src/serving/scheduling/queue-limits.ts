import { EspalierError } from '../../base/index.ts';

/** How many requests may wait, and for how long. */
export interface QueueLimits {
  /** Requests that may wait, over all tenants. A tenant with less than its part of them is let in also beyond. */
  readonly maxWaiting: number;
  /** Requests of one tenant that may wait: one tenant's flood fills its own queue only. */
  readonly maxWaitingPerTenant: number;
  /** Sequences that may run at once. */
  readonly maxSequences: number;
  /**
   * A request that waits longer goes first, whatever its tenant has been served, unless the tenant has its part of the places already and
   * others need theirs: then it is given up. A request that is expected to wait longer is refused when it comes.
   */
  readonly maxWaitMs: number;
}

/** Never tell a client to come back sooner. */
const MIN_RETRY_MS = 1000;
/** Nor later: by then much can have changed. */
const MAX_RETRY_MS = 60_000;

/**
 * The refusal of a request that would wait, or has waited, too long. It is worth trying again when half of what is waiting has gone, or so much
 * of it that the wait is not too long any more.
 * @param waitMs by a pace that does not swing, or clients come back all at once
 */
export function overloaded(why: string, waitMs: number, { maxWaitMs }: Pick<QueueLimits, 'maxWaitMs'>): EspalierError {
  const retryAfterMs = Math.round(Math.min(MAX_RETRY_MS, Math.max(waitMs - maxWaitMs, waitMs / 2, MIN_RETRY_MS)));
  return new EspalierError('OVERLOADED', `${why}: try again in ${Math.ceil(retryAfterMs / 1000)} s`, { retryAfterMs });
}
