import type { Canary, CanaryArm } from '../../delivery/index.ts';
import { referenceOf, type AdapterVersion } from '../../registry/index.ts';
import type { Platform } from '../platform.ts';

/** Who answers a request that names a task. */
export interface TaskRouting {
  readonly version: AdapterVersion;
  /** On which side of the task's canary the session is; null: there is none. */
  readonly trial: { readonly canary: Canary; readonly arm: CanaryArm } | null;
}

/**
 * The version that answers a session of a tenant's task now: the task's canary for the sessions of its share, else what the task's routes say.
 * @param canServe whether this server can answer by a version
 * @param onUnserved told of a canary that cannot be served here: the others answer in its place
 * @throws ADAPTER_NOT_FOUND the tenant has no such task
 */
export function routeToVersion(
  { registry, delivery }: Pick<Platform, 'registry' | 'delivery'>,
  { tenant, task, session }: { readonly tenant: string; readonly task: string; readonly session: string },
  canServe: (version: AdapterVersion) => boolean,
  onUnserved: (canary: Canary) => void,
): TaskRouting {
  const stable = (): AdapterVersion => registry.route(tenant, task, session);
  const canary = delivery.canaries.open(tenant, task);
  if (!canary) return { version: stable(), trial: null };
  const arm = delivery.canaries.armOf(canary, session);
  if (arm === 'stable') return { version: stable(), trial: { canary, arm } };
  const version = registry.find(tenant, referenceOf(canary));
  if (version && canServe(version)) return { version, trial: { canary, arm } };
  onUnserved(canary);
  return { version: stable(), trial: null };
}
