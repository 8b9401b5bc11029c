import { createHash } from 'node:crypto';
import { fail, type Clock } from '../base/index.ts';
import type { Database, MigrationSet } from '../storage/index.ts';
import { findVersion } from './catalog.ts';
import type { AdapterVersion } from './adapter-version.ts';
import { isAlias } from './reference.ts';

/** Part of a task's requests. */
export interface SplitEntry {
  /** A version's number, or an alias: then a promotion or a rollback moves it with the next request. */
  readonly version: string;
  /** Above 0, relative to the others'. */
  readonly weight: number;
}

/** Who answers a task: parts of its requests go to different versions. */
export interface Split {
  readonly entries: readonly SplitEntry[];
  /** Milliseconds since 1970. */
  readonly changedAt: number;
}

const MAX_ENTRIES = 16;
const MAX_WEIGHT = 1_000_000;

/** What is said about versions and tasks beside the versions themselves: a set of its own, which grows by itself. */
export const ROUTING_MIGRATIONS: MigrationSet = {
  room: 'routing',
  migrations: [
    {
      version: 1,
      name: 'splits of tasks, tags',
      sql: `
CREATE TABLE route_splits (
  tenant TEXT NOT NULL, task TEXT NOT NULL, entries TEXT NOT NULL, changed_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE adapter_tags (
  tenant TEXT NOT NULL, task TEXT NOT NULL, version INTEGER NOT NULL, tag TEXT NOT NULL, added_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, task, version, tag),
  FOREIGN KEY (tenant, task, version) REFERENCES adapter_versions (tenant, task, version) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
`,
    },
    {
      version: 2,
      name: 'what versions were trained on',
      sql: `
CREATE TABLE adapter_data (
  tenant TEXT NOT NULL, task TEXT NOT NULL, version INTEGER NOT NULL,
  role TEXT NOT NULL, digest TEXT NOT NULL, size_bytes INTEGER NOT NULL,
  PRIMARY KEY (tenant, task, version, role),
  FOREIGN KEY (tenant, task, version) REFERENCES adapter_versions (tenant, task, version) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX adapter_data_by_digest ON adapter_data (digest);
`,
    },
  ],
};

interface SplitRow {
  readonly entries: string;
  readonly changed_at: number;
}

export function findSplit(database: Database, tenant: string, task: string): Split | undefined {
  const sql = 'SELECT entries, changed_at FROM route_splits WHERE tenant = ? AND task = ?';
  const row = database.get<SplitRow>(sql, tenant, task);
  return row && { entries: JSON.parse(row.entries) as SplitEntry[], changedAt: row.changed_at };
}

/**
 * Sets who answers a task; an empty list gives it back to the alias `latest`. Inside a transaction.
 * @throws REQUEST_INVALID an entry is malformed, is there twice, or has no version behind it
 */
export function setSplit(
  database: Database,
  clock: Clock,
  tenant: string,
  task: string,
  entries: readonly SplitEntry[],
): void {
  const refuse = (message: string): never => fail('REQUEST_INVALID', message, { param: 'split' });
  if (entries.length > MAX_ENTRIES) refuse(`a split has ${entries.length} parts, at most ${MAX_ENTRIES} may be`);
  for (const [index, { version, weight }] of entries.entries()) {
    if (!(weight > 0 && weight <= MAX_WEIGHT)) refuse(`the weight of ${version} must be above 0, got ${weight}`);
    if (entries.findIndex((other) => other.version === version) !== index) refuse(`${version} is there twice`);
    if (!versionOfEntry(database, tenant, task, version)) {
      refuse(`${tenant}/${task} has no version or alias "${version}"`);
    }
  }
  if (entries.length === 0) {
    database.run('DELETE FROM route_splits WHERE tenant = ? AND task = ?', tenant, task);
    return;
  }
  database.run(
    `INSERT INTO route_splits (tenant, task, entries, changed_at) VALUES (?, ?, ?, ?)
     ON CONFLICT (tenant, task) DO UPDATE SET entries = excluded.entries, changed_at = excluded.changed_at`,
    tenant,
    task,
    JSON.stringify(entries.map(({ version, weight }) => ({ version, weight }))),
    Math.floor(clock.epochMs()),
  );
}

export function versionOfEntry(
  database: Database,
  tenant: string,
  task: string,
  version: string,
): AdapterVersion | undefined {
  if (/^[0-9]{1,15}$/.test(version)) return findVersion(database, 'byVersion', tenant, task, Number(version));
  return isAlias(version) ? findVersion(database, 'byAlias', tenant, task, version) : undefined;
}

/**
 * The part that answers a session: always the same one for the same session and split. The session's place in [0, 1) comes from a hash,
 * and the parts lie there side by side in their order; so a change of weights moves no session but those between the old and the new border.
 */
export function chooseEntry(entries: readonly SplitEntry[], task: string, session: string): SplitEntry | undefined {
  const digest = createHash('sha256')
    .update(JSON.stringify([task, session]))
    .digest();
  const place = digest.readUIntBE(0, 6) / 2 ** 48;
  const total = entries.reduce((sum, { weight }) => sum + weight, 0);
  let border = 0;
  return entries.find(({ weight }) => place < (border += weight) / total) ?? entries.at(-1);
}
