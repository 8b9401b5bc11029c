import type { CanaryReport, Gate, Shadow } from '../delivery/index.ts';
import type { SplitEntry } from '../registry/index.ts';
import type { Principal } from '../tenancy/index.ts';

/** Who answers a task. */
export interface TaskRoute {
  readonly task: string;
  /** `TENANT/TASK@VERSION` of the alias `latest`; null: it points nowhere. */
  readonly latest: string | null;
  /** Empty: `latest` answers all. */
  readonly split: readonly (SplitEntry & { readonly reference: string | null })[];
  /** What a version must score before it may answer; null: nothing. */
  readonly gate: Gate | null;
  /** The one that is on. */
  readonly canary: CanaryReport | null;
  readonly shadow: Shadow | null;
}

/** The routes of the key's tenant. All throw ADAPTER_NOT_FOUND for a task that the tenant does not have, REQUEST_INVALID for the operator. */
export interface TaskServices {
  list(principal: Principal): readonly TaskRoute[];
  get(principal: Principal, task: string): TaskRoute;
  /** Takes effect for the next request; ends the task's canary. @throws REQUEST_INVALID */
  setSplit(principal: Principal, task: string, split: readonly SplitEntry[]): TaskRoute;
  /**
   * Points an alias at a version, when the task's gate lets it. Of `latest` it ends the task's canary.
   * @param isGated false passes by the gate, which is recorded
   * @throws PROMOTION_REFUSED
   */
  promote(principal: Principal, task: string, version: number, alias: string, isGated: boolean): Promise<TaskRoute>;
  /** Points an alias at what it pointed at before; of `latest` it ends the task's canary. @throws REQUEST_INVALID there is nothing before */
  rollback(principal: Principal, task: string, alias: string): TaskRoute;
}
