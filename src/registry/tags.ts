import { fail, isName, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import { referenceOf, type AdapterVersion } from './adapter-version.ts';
import { MAX_PAGE, selectVersions } from './catalog.ts';
import { pageStart } from './reference.ts';

/** What to look for among versions; all that is given must hold. */
export interface Search {
  /** In the names of task, method or base. */
  readonly text?: string | undefined;
  readonly tag?: string | undefined;
  readonly limit?: number | undefined;
  /** Continue behind this `TENANT/TASK@VERSION`. */
  readonly after?: string | undefined;
}

const MAX_TAGS = 32;

/**
 * Goes through the versions behind the start, in the order of their index, until the page is full. The tenant bounds the search on both
 * sides: what others have costs nothing.
 */
const searchOf = (where: string): string => `
  SELECT * FROM adapter_versions v
  WHERE ${where}
    AND (?4 = '' OR instr(lower(task || ' ' || method || ' ' || base_name), ?4) > 0)
    AND (?5 = '' OR EXISTS (SELECT 1 FROM adapter_tags t
                            WHERE t.tenant = v.tenant AND t.task = v.task AND t.version = v.version AND t.tag = ?5))
  ORDER BY tenant, task, version LIMIT ?6`;

/** Each is bound to an index by a test. */
export const SEARCHES = {
  ofAll: searchOf('(tenant, task, version) > (?1, ?2, ?3)'),
  ofTenant: searchOf('tenant = ?1 AND (task, version) > (?2, ?3)'),
} as const;

/** The tags of a version, in their order. */
export function tagsOf(database: Database, { tenant, task, version }: AdapterVersion): string[] {
  return database
    .all<{ tag: string }>(
      'SELECT tag FROM adapter_tags WHERE tenant = ? AND task = ? AND version = ? ORDER BY tag',
      tenant,
      task,
      version,
    )
    .map(({ tag }) => tag);
}

/** Adds and takes away tags. Inside a transaction. @throws REQUEST_INVALID a tag is no name, or there are too many */
export function changeTags(
  database: Database,
  clock: Clock,
  target: AdapterVersion,
  { add, remove }: { readonly add: readonly string[]; readonly remove: readonly string[] },
): void {
  const { tenant, task, version } = target;
  for (const tag of remove) {
    const sql = 'DELETE FROM adapter_tags WHERE tenant = ? AND task = ? AND version = ? AND tag = ?';
    database.run(sql, tenant, task, version, tag);
  }
  for (const tag of add) {
    if (!isName(tag)) fail('REQUEST_INVALID', `"${tag}" is no tag: use a-z, 0-9, ".", "_", "-"`, { param: 'tag' });
    database.run(
      'INSERT INTO adapter_tags (tenant, task, version, tag, added_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
      tenant,
      task,
      version,
      tag,
      Math.floor(clock.epochMs()),
    );
  }
  const numTags = tagsOf(database, target).length;
  if (numTags > MAX_TAGS) {
    fail('REQUEST_INVALID', `${referenceOf(target)} would have ${numTags} tags, at most ${MAX_TAGS} may be`, {
      param: 'tag',
    });
  }
}

/** Versions that a search finds, in the order of their references; of all tenants when `tenant` is null. */
export function searchVersions(database: Database, tenant: string | null, search: Search): AdapterVersion[] {
  const start = pageStart(search.after);
  // A place that is another tenant's is the end of one's own list, or its beginning.
  if (tenant !== null && start.tenant > tenant) return [];
  const isOwn = tenant === null || start.tenant === tenant;
  return selectVersions(
    database,
    tenant === null ? SEARCHES.ofAll : SEARCHES.ofTenant,
    tenant ?? start.tenant,
    isOwn ? start.task : '',
    isOwn ? start.version : 0,
    (search.text ?? '').toLowerCase(),
    search.tag ?? '',
    Math.min(search.limit ?? MAX_PAGE, MAX_PAGE),
  );
}
