import { isName } from '../../base/index.ts';
import type { TaskRoute, TaskServices } from '../../http/index.ts';
import { LATEST, referenceOf, type AdapterVersion, type Registry, type SplitEntry } from '../../registry/index.ts';
import type { AppConfig } from '../config.ts';
import { ACTOR_CLI, adapterEntry, splitEntryOf } from '../governance/entries.ts';
import { parseTarget } from './adapters.ts';
import { openPlatform, type Platform } from '../platform.ts';
import { ownTenant } from '../tuning/file-services.ts';

/** Who answers a tenant's tasks, and the tenant's say in it. */
export function makeTaskServices({ registry, audit }: Pick<Platform, 'registry' | 'audit'>): TaskServices {
  return {
    list: (principal) => listTaskRoutes(registry, ownTenant(principal)),
    get: (principal, task) => taskRoute(registry, ownTenant(principal), task),
    setSplit(principal, task, split) {
      const tenant = ownTenant(principal);
      requireTask(registry, tenant, task);
      audit.during(
        () => registry.setSplit(tenant, task, split),
        () => splitEntryOf(principal.keyId, tenant, task, split),
      );
      return taskRoute(registry, tenant, task);
    },
    promote(principal, task, version, alias) {
      const tenant = ownTenant(principal);
      audit.during(
        () => registry.promote(tenant, referenceOf({ tenant, task, version }), alias),
        (promoted) => adapterEntry(principal.keyId, 'adapter.promote', promoted, { alias }),
      );
      return taskRoute(registry, tenant, task);
    },
    rollback(principal, task, alias) {
      const tenant = ownTenant(principal);
      requireTask(registry, tenant, task);
      audit.during(
        () => registry.rollback(tenant, task, alias),
        (back) => adapterEntry(principal.keyId, 'adapter.rollback', back, { alias }),
      );
      return taskRoute(registry, tenant, task);
    },
  };
}

/** @throws ADAPTER_NOT_FOUND the tenant has no such task */
export async function showRoutes(config: AppConfig, tenant: string): Promise<readonly TaskRoute[]> {
  await using platform = await openPlatform(config);
  return listTaskRoutes(platform.registry, tenant);
}

/** @param target TENANT/TASK @throws USAGE_INVALID ADAPTER_NOT_FOUND REQUEST_INVALID */
export async function splitRoute(config: AppConfig, target: string, split: readonly SplitEntry[]): Promise<TaskRoute> {
  const { tenant, task } = parseTarget(target, 'name');
  await using platform = await openPlatform(config);
  const { registry, audit } = platform;
  requireTask(registry, tenant, task);
  audit.during(
    () => registry.setSplit(tenant, task, split),
    () => splitEntryOf(ACTOR_CLI, tenant, task, split),
  );
  return taskRoute(registry, tenant, task);
}

function listTaskRoutes(registry: Registry, tenant: string): TaskRoute[] {
  return registry.routes(tenant).map(({ task }) => taskRoute(registry, tenant, task));
}

function taskRoute(registry: Registry, tenant: string, task: string): TaskRoute {
  requireTask(registry, tenant, task);
  const latest = findAlias(registry, tenant, task, LATEST);
  const split = (registry.split(tenant, task)?.entries ?? []).map(({ version, weight }) => {
    const found = findAlias(registry, tenant, task, version);
    return { version, weight, reference: found ? referenceOf(found) : null };
  });
  return { task, latest: latest ? referenceOf(latest) : null, split };
}

function findAlias(registry: Registry, tenant: string, task: string, selector: string): AdapterVersion | undefined {
  return registry.find(tenant, `${tenant}/${task}@${selector}`);
}

/** @throws ADAPTER_NOT_FOUND as for a task that another tenant has */
function requireTask(registry: Registry, tenant: string, task: string): void {
  const hasVersion = isName(task) && registry.list(tenant, { prefix: task, limit: 1 })[0]?.task === task;
  // A prefix is found before what it begins: the task itself comes first.
  if (!hasVersion) registry.resolve(tenant, `${tenant}/${isName(task) ? task : 'unknown'}`);
}
