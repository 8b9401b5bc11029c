import type { AdapterVersion, AliasChange, Search } from '../registry/index.ts';
import type { Principal } from '../tenancy/index.ts';

/** A version with what points at it. */
export interface ListedVersion {
  readonly version: AdapterVersion;
  readonly aliases: readonly string[];
  readonly tags: readonly string[];
}

/** A version, and how the alias `latest` of its task has moved, oldest first. */
export interface ShownVersion extends ListedVersion {
  readonly history: readonly AliasChange[];
}

/** The published versions that a key may see: a tenant's its own, the operator's all. */
export interface CatalogueServices {
  /** In the order of their references. @param tenant whose; null: all that the key may see; TENANT_NOT_FOUND another's */
  list(principal: Principal, tenant: string | null, search: Search): readonly ListedVersion[];
  /** @throws ADAPTER_NOT_FOUND as for a version that another tenant has */
  show(principal: Principal, reference: string): ShownVersion;
}
