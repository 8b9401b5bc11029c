import { isName } from '../../base/index.ts';
import type { TaskRoute, TaskServices } from '../../http/index.ts';
import { LATEST, referenceOf, type AdapterVersion, type Registry, type SplitEntry } from '../../registry/index.ts';
import type { AppConfig } from '../config.ts';
import { ACTOR_CLI, adapterEntry, splitEntryOf } from '../governance/entries.ts';
import { parseTarget } from './adapters.ts';
import type { Promotions } from '../delivery/promotions.ts';
import { openPlatform, type Platform } from '../platform.ts';
import { ownTenant } from '../tuning/file-services.ts';

type Routing = Pick<Platform, 'registry' | 'delivery' | 'audit'>;

/** Who answers a tenant's tasks, and the tenant's say in it. */
export function makeTaskServices(routing: Routing, promotions: Promotions): TaskServices {
  const { registry } = routing;
  return {
    list: (principal) => listTaskRoutes(routing, ownTenant(principal)),
    get: (principal, task) => taskRoute(routing, ownTenant(principal), task),
    setSplit: (principal, task, split) => setTaskSplit(routing, ownTenant(principal), task, split, principal.keyId),
    async promote(principal, task, version, alias, isGated) {
      const tenant = ownTenant(principal);
      const reference = referenceOf({ tenant, task, version });
      await promotions.promote({ tenant, reference, alias, actor: principal.keyId, isGated });
      return taskRoute(routing, tenant, task);
    },
    rollback(principal, task, alias) {
      const tenant = ownTenant(principal);
      requireTask(registry, tenant, task);
      rollbackTask(routing, tenant, task, alias, principal.keyId);
      return taskRoute(routing, tenant, task);
    },
  };
}

/** @throws ADAPTER_NOT_FOUND the tenant has no such task */
export async function showRoutes(config: AppConfig, tenant: string): Promise<readonly TaskRoute[]> {
  await using platform = await openPlatform(config);
  return listTaskRoutes(platform, tenant);
}

/** @param target TENANT/TASK @throws USAGE_INVALID ADAPTER_NOT_FOUND REQUEST_INVALID */
export async function splitRoute(config: AppConfig, target: string, split: readonly SplitEntry[]): Promise<TaskRoute> {
  const { tenant, task } = parseTarget(target, 'name');
  await using platform = await openPlatform(config);
  return setTaskSplit(platform, tenant, task, split, ACTOR_CLI);
}

/** Whoever changes who answers ends the canary: what it was compared with is not there any more. */
function setTaskSplit(
  routing: Routing,
  tenant: string,
  task: string,
  split: readonly SplitEntry[],
  actor: string,
): TaskRoute {
  const { registry, delivery, audit } = routing;
  requireTask(registry, tenant, task);
  audit.during(
    () => {
      registry.setSplit(tenant, task, split);
      delivery.canaries.stop(tenant, task, actor, 'the split was changed');
    },
    () => splitEntryOf(actor, tenant, task, split),
  );
  return taskRoute(routing, tenant, task);
}

/** Points an alias at what it pointed at before. */
export function rollbackTask(
  { registry, delivery, audit }: Routing,
  tenant: string,
  task: string,
  alias: string,
  actor: string,
): AdapterVersion {
  return audit.during(
    () => {
      const version = registry.rollback(tenant, task, alias);
      if (alias === LATEST) delivery.canaries.stop(tenant, task, actor, `${alias} was rolled back`);
      return version;
    },
    (version) => adapterEntry(actor, 'adapter.rollback', version, { alias }),
  );
}

function listTaskRoutes(routing: Routing, tenant: string): TaskRoute[] {
  return routing.registry.routes(tenant).map(({ task }) => taskRoute(routing, tenant, task));
}

function taskRoute({ registry, delivery }: Routing, tenant: string, task: string): TaskRoute {
  requireTask(registry, tenant, task);
  const latest = findAlias(registry, tenant, task, LATEST);
  const split = (registry.split(tenant, task)?.entries ?? []).map(({ version, weight }) => {
    const found = findAlias(registry, tenant, task, version);
    return { version, weight, reference: found ? referenceOf(found) : null };
  });
  const report = delivery.canaries.report(tenant, task);
  return {
    task,
    latest: latest ? referenceOf(latest) : null,
    split,
    gate: delivery.gates.find(tenant, task) ?? null,
    canary: report && report.canary.endedAt === null ? report : null,
    shadow: delivery.shadows.open(tenant, task) ?? null,
  };
}

function findAlias(registry: Registry, tenant: string, task: string, selector: string): AdapterVersion | undefined {
  return registry.find(tenant, `${tenant}/${task}@${selector}`);
}

/** @throws ADAPTER_NOT_FOUND as for a task that another tenant has */
export function requireTask(registry: Registry, tenant: string, task: string): void {
  const hasVersion = isName(task) && registry.list(tenant, { prefix: task, limit: 1 })[0]?.task === task;
  // A prefix is found before what it begins: the task itself comes first.
  if (!hasVersion) registry.resolve(tenant, `${tenant}/${isName(task) ? task : 'unknown'}`);
}
