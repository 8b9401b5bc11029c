import { fail, systemClock } from '../base/index.ts';
import type { TenantErasure, TenantServices, TenantUsage } from '../http/index.ts';
import type { Quotas, RateLimits, Tenant, TenantLimits, UsageRow } from '../tenancy/index.ts';
import { tenantEntry } from './governance/entries.ts';
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

type Keeping = Pick<Platform, 'tenants' | 'audit'>;

/** @param actor whoever asked for it, for the audit log, as below @throws REQUEST_INVALID TENANT_EXISTS */
export function createTenant(
  { tenants, audit }: Keeping,
  actor: string,
  name: string,
  limits: Partial<TenantLimits>,
): Tenant {
  return audit.during(
    () => tenants.create(name, limits),
    () => tenantEntry(actor, 'tenant.create', name, limits),
  );
}

/** @throws TENANT_NOT_FOUND REQUEST_INVALID */
export function changeTenant(
  { tenants, audit }: Keeping,
  actor: string,
  name: string,
  limits: Partial<TenantLimits>,
): Tenant {
  return audit.during(
    () => tenants.setLimits(name, limits),
    () => tenantEntry(actor, 'tenant.change', name, limits),
  );
}

/**
 * Removes a tenant that has nothing any more, and its keys: whoever is given its name later finds nothing of it.
 * @throws TENANT_NOT_FOUND TENANT_IN_USE
 */
export function removeTenant(
  { tenants, audit, registry, files, jobs }: Keeping & Pick<Platform, 'registry' | 'files' | 'jobs'>,
  actor: string,
  name: string,
): void {
  audit.during(
    () => {
      tenants.get(name);
      const has = [
        [registry.holdings(name).adapters, 'adapter versions'],
        [files.holdings(name).count, 'files'],
        [jobs.ids(name).length, 'jobs'],
      ] as const;
      const found = has.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
      if (found.length > 0) {
        const advice = `remove them first, or all that it has with "espalier tenants erase ${name}"`;
        fail('TENANT_IN_USE', `tenant "${name}" has ${found.join(' and ')}: ${advice}`, { param: 'tenant' });
      }
      tenants.remove(name);
    },
    () => tenantEntry(actor, 'tenant.remove', name),
  );
}

/** Tenants over HTTP: each sees itself, the operator all. */
export function makeTenantServices(
  platform: Platform,
  quotas: Quotas,
  rates: RateLimits,
  erase: (actor: string, name: string, isDryRun: boolean) => Promise<TenantErasure>,
): TenantServices {
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
    change: ({ keyId }, name, limits) => changeTenant(platform, keyId, name, limits),
    create: ({ keyId }, name, limits) => createTenant(platform, keyId, name, limits),
    erase: ({ keyId }, name, isDryRun) => erase(keyId, name, isDryRun),
  };
}
