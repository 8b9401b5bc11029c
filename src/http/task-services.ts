import type { SplitEntry } from '../registry/index.ts';
import type { Principal } from '../tenancy/index.ts';

/** Who answers a task. */
export interface TaskRoute {
  readonly task: string;
  /** `TENANT/TASK@VERSION` of the alias `latest`; null: it points nowhere. */
  readonly latest: string | null;
  /** Empty: `latest` answers all. */
  readonly split: readonly (SplitEntry & { readonly reference: string | null })[];
}

/** The routes of the key's tenant. All throw ADAPTER_NOT_FOUND for a task that the tenant does not have, REQUEST_INVALID for the operator. */
export interface TaskServices {
  list(principal: Principal): readonly TaskRoute[];
  get(principal: Principal, task: string): TaskRoute;
  /** Takes effect for the next request. @throws REQUEST_INVALID */
  setSplit(principal: Principal, task: string, split: readonly SplitEntry[]): TaskRoute;
  /** Points an alias at a version. */
  promote(principal: Principal, task: string, version: number, alias: string): TaskRoute;
  /** Points an alias at what it pointed at before. @throws REQUEST_INVALID there is nothing before */
  rollback(principal: Principal, task: string, alias: string): TaskRoute;
}
