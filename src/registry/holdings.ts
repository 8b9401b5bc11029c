import { fail } from '../base/index.ts';
import type { Database } from '../storage/index.ts';

/** What a tenant has in the registry. */
export interface Holdings {
  /** Versions, of all tasks. */
  readonly adapters: number;
  /** Of their files, each version's for itself, also where two share them. */
  readonly bytes: number;
}

/** How much a tenant may have; null is no limit. */
export interface Allowance {
  readonly maxAdapters: number | null;
  readonly maxBytes: number | null;
}

export function holdingsOf(database: Database, tenant: string): Holdings {
  const row = database.get<Holdings>(
    'SELECT count(*) AS adapters, coalesce(sum(size_bytes), 0) AS bytes FROM adapter_versions WHERE tenant = ?',
    tenant,
  );
  return { adapters: row?.adapters ?? 0, bytes: row?.bytes ?? 0 };
}

/**
 * Checks, in the transaction that adds a version, that the tenant may have it.
 * @throws QUOTA_EXCEEDED with what there is and what may be
 */
export function requireAllowance(database: Database, tenant: string, sizeBytes: number, allowance: Allowance): void {
  const { maxAdapters, maxBytes } = allowance;
  if (maxAdapters === null && maxBytes === null) return;
  const { adapters, bytes } = holdingsOf(database, tenant);
  const advice = 'remove versions that are not needed, or ask the operator for more';
  if (maxAdapters !== null && adapters >= maxAdapters) {
    fail('QUOTA_EXCEEDED', `${tenant} has ${adapters} adapter versions and may have ${maxAdapters}: ${advice}`, {
      param: 'maxAdapters',
    });
  }
  if (maxBytes !== null && bytes + sizeBytes > maxBytes) {
    const has = `${tenant} has ${bytes} bytes of adapters and may have ${maxBytes}`;
    fail('QUOTA_EXCEEDED', `${has}, this one has ${sizeBytes}: ${advice}`, { param: 'maxAdapterBytes' });
  }
}
