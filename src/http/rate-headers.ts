import type { BudgetState, RateState } from '../tenancy/index.ts';

/** What is left of the key's tenant's minute, in the headers that OpenAI's clients know; none for who has no limits. */
export function rateHeaders(state: RateState | null): Record<string, string> {
  return { ...budgetHeaders('requests', state?.requests), ...budgetHeaders('tokens', state?.tokens) };
}

function budgetHeaders(what: 'requests' | 'tokens', budget: BudgetState | null | undefined): Record<string, string> {
  if (!budget) return {};
  return {
    [`x-ratelimit-limit-${what}`]: String(budget.limit),
    [`x-ratelimit-remaining-${what}`]: String(budget.remaining),
    [`x-ratelimit-reset-${what}`]: durationText(budget.resetMs),
  };
}

/** `17ms`, `2.5s`, `1m30s`. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${ms}ms`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = (ms - minutes * 60_000) / 1000;
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds}s`;
}
