import { isName } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import type { AdapterVersion } from './adapter-version.ts';
import { LATEST } from './aliases.ts';
import { findVersion, findVersions, MAX_PAGE } from './catalog.ts';
import { failUnknown } from './reference.ts';

/**
 * The version that answers a tenant's task now: what the task's alias `latest` points at.
 * @throws ADAPTER_NOT_FOUND the tenant has no such task
 */
export function routeTask(database: Database, tenant: string, task: string): AdapterVersion {
  const found = isName(task) ? findVersion(database, 'byAlias', tenant, task, LATEST) : undefined;
  return found ?? failUnknown(`${tenant}/${task}`);
}

/** A tenant's routes in the order of the tasks, behind `afterTask`. */
export function listRoutes(database: Database, tenant: string, limit = MAX_PAGE, afterTask = ''): AdapterVersion[] {
  return findVersions(database, 'routesOfTenant', tenant, afterTask, LATEST, Math.min(limit, MAX_PAGE));
}
