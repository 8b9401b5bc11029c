import { fail, isName, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import { referenceOf, type AdapterVersion } from './adapter-version.ts';
import { MAX_PAGE, selectVersions } from './catalog.ts';
import { parseReference } from './reference.ts';

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

/** Goes through the versions behind the start, in the order of their index, until the page is full. */
const SEARCH = `
  SELECT * FROM adapter_versions v
  WHERE (tenant, task, version) > (?1, ?2, ?3) AND tenant >= ?4 AND (?4 = '' OR tenant <= ?4)
    AND (?5 = '' OR instr(lower(task || ' ' || method || ' ' || base_name), ?5) > 0)
    AND (?6 = '' OR EXISTS (SELECT 1 FROM adapter_tags t
                            WHERE t.tenant = v.tenant AND t.task = v.task AND t.version = v.version AND t.tag = ?6))
  ORDER BY tenant, task, version LIMIT ?7`;

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
  const after = search.after === undefined ? undefined : parseReference(search.after);
  const start = after?.kind === 'version' ? after : { tenant: tenant ?? '', task: '', version: 0 };
  return selectVersions(
    database,
    SEARCH,
    start.tenant,
    start.task,
    start.version,
    tenant ?? '',
    (search.text ?? '').toLowerCase(),
    search.tag ?? '',
    Math.min(search.limit ?? MAX_PAGE, MAX_PAGE),
  );
}
