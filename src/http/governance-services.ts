import type { AuditRecord } from '../audit/index.ts';
import type { ApiKey, BillGroup, BillLine, NewApiKey, PriceRow, Principal, TokenPrices } from '../tenancy/index.ts';

/** Keys of the principal's tenant; the operator's are all. The caller's role is admin. */
export interface KeyServices {
  /** @param tenant of the operator: whose; undefined is everybody's */
  list(principal: Principal, tenant?: string): readonly ApiKey[];
  /**
   * @param asked without a tenant: the principal's own
   * @throws TENANT_NOT_FOUND also for another tenant than the key's own; REQUEST_INVALID
   */
  create(
    principal: Principal,
    asked: Omit<NewApiKey, 'tenant'> & { readonly tenant?: string | null | undefined },
  ): { readonly secret: string; readonly key: ApiKey };
  /** @throws KEY_NOT_FOUND also for another tenant's */
  revoke(principal: Principal, keyId: string): ApiKey;
}

export interface AuditQuery {
  readonly limit: number;
  readonly after?: number | undefined;
  /** Of the operator: whose entries; a tenant asks for its own only. */
  readonly tenant?: string | undefined;
}

/** The audit log: of a tenant what concerns it, of the operator all. */
export interface AuditServices {
  list(principal: Principal, query: AuditQuery): { readonly items: readonly AuditRecord[]; readonly hasMore: boolean };
}

export interface UsageQuery {
  /** Days, UTC, both included: `2026-01-31`. */
  readonly from: string;
  readonly to: string;
  readonly groups: readonly BillGroup[];
  /** As of {@link AuditQuery}. */
  readonly tenant?: string | undefined;
}

/** Usage as bill lines: of a tenant its own, of the operator all. */
export interface UsageServices {
  bill(principal: Principal, query: UsageQuery): readonly BillLine[];
  /** Lines as CSV. */
  csv(lines: readonly BillLine[]): string;
  /** Of a tenant what it pays, from each day on which that changed; of the operator all that were ever set. */
  prices(principal: Principal): readonly PriceRow[];
  /**
   * From today on. The caller is the operator.
   * @param tenant null: everybody's
   * @throws TENANT_NOT_FOUND REQUEST_INVALID
   */
  setPrices(principal: Principal, tenant: string | null, change: Partial<TokenPrices>): PriceRow;
}
