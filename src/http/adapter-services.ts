import type { AdapterResidence, TierStats, UnloadReport } from '../serving/index.ts';
import type { Principal } from '../tenancy/index.ts';

export interface LoadRequest {
  /** The tenant's own name for the adapter on this server. */
  readonly name: string;
  /** Of the registry: never a path, never a URL. */
  readonly reference: string;
  /** Point a name that is taken at another adapter, instead of refusing. */
  readonly isInPlace: boolean;
}

/** An adapter in memory, with the names under which the asking tenant has loaded it. */
export interface NamedResidence extends AdapterResidence {
  readonly names: readonly string[];
  /** The name of its base. */
  readonly base: string;
}

export interface Unloaded extends UnloadReport {
  readonly digest: string;
}

/** Which adapters are in memory, and the tenant's say in it. */
export interface AdapterServices {
  /**
   * Loads an adapter and keeps it in memory under a name that requests may give as their model.
   * @throws REQUEST_INVALID the name or the reference is none, or the name is taken; ADAPTER_NOT_FOUND; ADAPTER_UNAVAILABLE;
   *   OVERLOADED as much as may stay in memory does so already
   */
  load(principal: Principal, request: LoadRequest): Promise<void>;
  /** Forgets a name, and frees the adapter's memory when nobody else needs it. @throws ADAPTER_NOT_FOUND */
  unload(principal: Principal, name: string): Promise<Unloaded>;
  /** What is in memory for the tenant; for the operator, all. */
  list(principal: Principal, limit: number): Promise<readonly NamedResidence[]>;
  tiers(): Promise<{ readonly ready: TierStats; readonly host: TierStats }>;
}
