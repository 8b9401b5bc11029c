import type { Digest } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import { referenceOf, type AdapterFile, type AdapterVersion, type Classes, type JsonValue } from './adapter-version.ts';
import { pageStart } from './reference.ts';

/** Part of a list that may be long. */
export interface Page {
  /** Only tasks that begin so; with a tenant. */
  readonly prefix?: string;
  /** At most this many; 1000 unless told. */
  readonly limit?: number;
  /** Continue behind this `TENANT/TASK@VERSION`, the last of the page before. */
  readonly after?: string;
}

export const MAX_PAGE = 1000;

interface VersionRow {
  readonly id: number;
  readonly tenant: string;
  readonly task: string;
  readonly version: number;
  readonly digest: Digest;
  readonly base_name: string;
  readonly base_digest: Digest;
  readonly method: string;
  readonly rank: number | null;
  readonly parameters: number;
  readonly classes: string | null;
  readonly size_bytes: number;
  readonly created_at: number;
  readonly metrics: string;
  readonly provenance: string;
}

interface FileRow {
  readonly name: string;
  readonly digest: Digest;
  readonly size_bytes: number;
}

/** The queries that read versions. Each is bound to an index by a test. */
export const QUERIES = {
  byVersion: 'SELECT * FROM adapter_versions WHERE tenant = ? AND task = ? AND version = ?',
  byAlias: `SELECT v.* FROM aliases a JOIN adapter_versions v USING (tenant, task, version)
            WHERE a.tenant = ? AND a.task = ? AND a.alias = ?`,
  byDigest: 'SELECT * FROM adapter_versions WHERE digest = ? ORDER BY tenant, id LIMIT 1',
  byDigestOfTenant: 'SELECT * FROM adapter_versions WHERE digest = ? AND tenant = ? ORDER BY id LIMIT 1',
  byContent: 'SELECT * FROM adapter_versions WHERE tenant = ? AND task = ? AND digest = ?',
  files: 'SELECT name, digest, size_bytes FROM adapter_files WHERE version_id = ? ORDER BY name',
  page: `SELECT * FROM adapter_versions WHERE (tenant, task, version) > (?, ?, ?)
         ORDER BY tenant, task, version LIMIT ?`,
  pageOfTenant: `SELECT * FROM adapter_versions
                 WHERE tenant = ? AND task >= ? AND task < ? AND (task, version) > (?, ?)
                 ORDER BY task, version LIMIT ?`,
  routesOfTenant: `SELECT v.* FROM aliases a JOIN adapter_versions v USING (tenant, task, version)
                   WHERE a.tenant = ? AND a.task > ? AND a.alias = ? ORDER BY a.task LIMIT ?`,
} as const;

/** One version by a query of {@link QUERIES}. */
export function findVersion(
  database: Database,
  query: keyof typeof QUERIES,
  ...values: (string | number)[]
): AdapterVersion | undefined {
  const row = database.get<VersionRow>(QUERIES[query], ...values);
  return row && versionOf(database, row);
}

export function findVersions(
  database: Database,
  query: keyof typeof QUERIES,
  ...values: (string | number)[]
): AdapterVersion[] {
  return selectVersions(database, QUERIES[query], ...values);
}

/** The same by a query that selects whole rows of versions. */
export function selectVersions(database: Database, sql: string, ...values: (string | number)[]): AdapterVersion[] {
  return database.all<VersionRow>(sql, ...values).map((row) => versionOf(database, row));
}

/** Versions in the order of their references; of all tenants when `tenant` is null. */
export function listVersions(database: Database, tenant: string | null, page: Page): AdapterVersion[] {
  const limit = Math.min(page.limit ?? MAX_PAGE, MAX_PAGE);
  const start = pageStart(page.after);
  if (tenant === null) return findVersions(database, 'page', start.tenant, start.task, start.version, limit);
  const prefix = page.prefix ?? '';
  // Names are ASCII, so that every task that begins with the prefix sorts before the prefix and U+FFFF.
  return findVersions(database, 'pageOfTenant', tenant, prefix, `${prefix}\uffff`, start.task, start.version, limit);
}

/** All of them, however many: page by page, so that only one page is in memory. */
export function* eachVersion(database: Database, tenant: string | null): Generator<AdapterVersion, void, undefined> {
  for (let after: string | undefined; ;) {
    const page = listVersions(database, tenant, after === undefined ? {} : { after });
    yield* page;
    const last = page.at(-1);
    if (!last || page.length < MAX_PAGE) return;
    after = referenceOf(last);
  }
}

function versionOf(database: Database, row: VersionRow): AdapterVersion {
  return {
    tenant: row.tenant,
    task: row.task,
    version: row.version,
    digest: row.digest,
    base: { name: row.base_name, digest: row.base_digest },
    method: row.method,
    rank: row.rank,
    parameters: row.parameters,
    classes: row.classes === null ? null : (JSON.parse(row.classes) as Classes),
    sizeBytes: row.size_bytes,
    createdAt: row.created_at,
    metrics: JSON.parse(row.metrics) as Record<string, number>,
    provenance: JSON.parse(row.provenance) as Record<string, JsonValue>,
    files: database
      .all<FileRow>(QUERIES.files, row.id)
      .map(({ name, digest, size_bytes }): AdapterFile => ({ name, digest, sizeBytes: size_bytes })),
  };
}
