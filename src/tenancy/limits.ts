import { fail } from '../base/index.ts';

/** What a tenant may take. Null is no limit of its own: the server's default, where there is one. */
export interface TenantLimits {
  /** The tenant's part of the engine's service, relative to the others'; null is 1. */
  readonly weight: number | null;
  /** Requests in flight at once, those that wait included, in one process. */
  readonly maxConcurrent: number | null;
  readonly requestsPerMinute: number | null;
  /** Tokens of prompts and answers. */
  readonly tokensPerMinute: number | null;
  /** The highest urgency that a request may ask for; 0 is that of every request. */
  readonly maxPriority: number | null;
  /** Versions in the registry, and the bytes of their files. */
  readonly maxAdapters: number | null;
  readonly maxAdapterBytes: number | null;
}

export const NO_LIMITS: TenantLimits = {
  weight: null,
  maxConcurrent: null,
  requestsPerMinute: null,
  tokensPerMinute: null,
  maxPriority: null,
  maxAdapters: null,
  maxAdapterBytes: null,
};

/** The names, in the order in which they are shown. */
export const LIMIT_NAMES = Object.keys(NO_LIMITS) as readonly (keyof TenantLimits)[];

/** Keeps what is asked of the scheduler sane: a heavier tenant would leave nothing to the others. */
const MAX_WEIGHT = 1000;

/** @throws REQUEST_INVALID names the limit */
export function checkLimits(limits: Partial<TenantLimits>): void {
  for (const [param, value] of Object.entries(limits) as [keyof TenantLimits, number | null | undefined][]) {
    if (value === null || value === undefined) continue;
    const isWeight = param === 'weight';
    const isRight = isWeight ? value > 0 && value <= MAX_WEIGHT : Number.isSafeInteger(value) && value >= 0;
    const expected = isWeight ? `a number above 0, at most ${MAX_WEIGHT}` : 'a whole number, 0 or more';
    if (!isRight) fail('REQUEST_INVALID', `${param} must be ${expected}, got ${value}`, { param });
  }
}
