import { isName } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import type { AdapterVersion } from './adapter-version.ts';
import { LATEST } from './aliases.ts';
import { findVersions, MAX_PAGE } from './catalog.ts';
import { failUnknown } from './reference.ts';
import { chooseEntry, findSplit, versionOfEntry } from './splits.ts';

/**
 * The version that answers a session of a tenant's task now: the session's part of the task's split, or, without a split, what the task's
 * alias `latest` points at.
 * @param session whose requests go to one version as long as the split stays
 * @throws ADAPTER_NOT_FOUND the tenant has no such task
 */
export function routeTask(database: Database, tenant: string, task: string, session: string): AdapterVersion {
  if (!isName(task)) failUnknown(`${tenant}/${task}`);
  const chosen = chooseEntry(findSplit(database, tenant, task)?.entries ?? [], task, session);
  const found = versionOfEntry(database, tenant, task, chosen?.version ?? LATEST);
  return found ?? failUnknown(`${tenant}/${task}`);
}

/** A tenant's routes in the order of the tasks, behind `afterTask`. */
export function listRoutes(database: Database, tenant: string, limit = MAX_PAGE, afterTask = ''): AdapterVersion[] {
  return findVersions(database, 'routesOfTenant', tenant, afterTask, LATEST, Math.min(limit, MAX_PAGE));
}
