import { systemClock } from '../base/index.ts';
import type { TenantServices, TenantUsage } from '../http/index.ts';
import type { Quotas, RateLimits, UsageRow } from '../tenancy/index.ts';
import type { Platform } from './platform.ts';

/** What of a tenant's limits is in use, as far as this home knows; the rest is known to the server that counts it. */
export type StoredUsage = Omit<TenantUsage, 'requestsInFlight' | 'requestsRemaining' | 'tokensRemaining'>;

/** Versions in the registry, and what has been used since midnight, UTC. */
export function storedUsage({ registry, usage }: Platform, tenant: string): StoredUsage {
  const { adapters, bytes } = registry.holdings(tenant);
  const today = new Date(systemClock.epochMs()).toISOString().slice(0, 10);
  const rows = usage.read(tenant, today, today);
  const sum = (of: (row: UsageRow) => number): number => rows.reduce((total, row) => total + of(row), 0);
  return {
    adapters,
    adapterBytes: bytes,
    requestsToday: sum(({ requests }) => requests),
    promptTokensToday: sum(({ promptTokens }) => promptTokens),
    completionTokensToday: sum(({ completionTokens }) => completionTokens),
  };
}

/** Tenants over HTTP: each sees itself, the operator all. */
export function makeTenantServices(platform: Platform, quotas: Quotas, rates: RateLimits): TenantServices {
  const { tenants, usage } = platform;
  return {
    list: ({ tenant }) => (tenant === null ? tenants.list() : [tenants.get(tenant)]),
    show({ tenant: asking }, name) {
      // A foreign tenant and one that does not exist look the same.
      const tenant = asking === null || asking === name ? tenants.get(name) : tenants.refuseUnknown(name);
      usage.flush();
      const state = rates.state(name);
      return {
        tenant,
        usage: {
          requestsInFlight: quotas.numInFlight(name),
          requestsRemaining: state?.requests?.remaining ?? null,
          tokensRemaining: state?.tokens?.remaining ?? null,
          ...storedUsage(platform, name),
        },
      };
    },
    change: (name, limits) => tenants.setLimits(name, limits),
  };
}
