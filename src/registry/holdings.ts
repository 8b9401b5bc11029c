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
  /** Versions of the same size for which there has to be room beside it; 0 unless told. */
  readonly spare?: number;
}

export function holdingsOf(database: Database, tenant: string): Holdings {
  const row = database.get<Holdings>(
    'SELECT count(*) AS adapters, coalesce(sum(size_bytes), 0) AS bytes FROM adapter_versions WHERE tenant = ?',
    tenant,
  );
  return { adapters: row?.adapters ?? 0, bytes: row?.bytes ?? 0 };
}

/**
 * Checks that the tenant may have one more version: in the transaction that adds it, and before work that would be in vain.
 * @throws QUOTA_EXCEEDED with what there is and what may be
 */
export function requireAllowance(database: Database, tenant: string, sizeBytes: number, allowance: Allowance): void {
  const { maxAdapters, maxBytes, spare = 0 } = allowance;
  if (maxAdapters === null && maxBytes === null) return;
  const { adapters, bytes } = holdingsOf(database, tenant);
  const room = spare > 0 ? `, and ${spare} more must have room` : '';
  const refuse = (has: string, param: string): never =>
    fail('QUOTA_EXCEEDED', `${has}${room}: remove versions that are not needed, or ask the operator for more`, {
      param,
    });
  if (maxAdapters !== null && adapters + spare >= maxAdapters) {
    refuse(`${tenant} has ${adapters} adapter versions and may have ${maxAdapters}`, 'max_adapters');
  }
  if (maxBytes !== null && bytes + (1 + spare) * sizeBytes > maxBytes) {
    const has = `${tenant} has ${bytes} bytes of adapters and may have ${maxBytes}, this one has ${sizeBytes}`;
    refuse(has, 'max_adapter_bytes');
  }
}
