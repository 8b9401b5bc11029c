import type { Principal, Tenant, TenantLimits } from '../tenancy/index.ts';

/** What a tenant has in use, and what is left to it. */
export interface TenantUsage {
  /** Requests in flight on this server. */
  readonly requestsInFlight: number;
  /** Of the minute that runs; null: no limit. */
  readonly requestsRemaining: number | null;
  readonly tokensRemaining: number | null;
  /** Versions in the registry, and the bytes of their files. */
  readonly adapters: number;
  readonly adapterBytes: number;
  /** Since midnight, UTC. */
  readonly requestsToday: number;
  readonly promptTokensToday: number;
  readonly completionTokensToday: number;
}

/** What went with a tenant, or would go. */
export interface TenantErasure {
  /** `erasure_…`, under which the audit log has it; null: it was only planned. */
  readonly id: string | null;
  readonly adapters: number;
  /** Of the adapters' files, shared ones included. */
  readonly adapterBytes: number;
  readonly files: number;
  readonly fileBytes: number;
  readonly jobs: number;
  /** What lies in the working folders of jobs: checkpoints, runs. */
  readonly jobBytes: number;
  readonly keys: number;
  /** Files of the content-addressed stores that were removed, and that stay because others have the same content. */
  readonly blobsRemoved: number;
  readonly blobsShared: number;
  /** Rows of usage that were added to the sums without a name. */
  readonly usageRows: number;
  /** Entries of the audit log whose contents were erased; their times, actions and hashes stay. */
  readonly auditEntries: number;
}

/** Who may use the server, and how much of it. A tenant sees itself; the operator sees and changes all. */
export interface TenantServices {
  list(principal: Principal): readonly Tenant[];
  /** @throws TENANT_NOT_FOUND also of what is not the key's own */
  show(principal: Principal, name: string): { readonly tenant: Tenant; readonly usage: TenantUsage };
  /** The caller is the operator. @throws TENANT_NOT_FOUND REQUEST_INVALID */
  change(principal: Principal, name: string, limits: Partial<TenantLimits>): Tenant;
  /** The caller is the operator. @throws TENANT_NOT_FOUND STORAGE_BUSY */
  erase(principal: Principal, name: string, isDryRun: boolean): Promise<TenantErasure>;
  /** The caller is the operator. @throws TENANT_EXISTS REQUEST_INVALID */
  create(principal: Principal, name: string, limits: Partial<TenantLimits>): Tenant;
}
