import { assert, fail, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import { isAlias } from './reference.ts';

/** The alias that a reference without `@…` means. */
export const LATEST = 'latest';

export interface AliasChange {
  readonly version: number;
  /** Milliseconds since 1970. */
  readonly changedAt: number;
}

interface ChangeRow {
  readonly id: number;
  readonly version: number;
  readonly previous: number | null;
  readonly changed_at: number;
}

interface HeadRow {
  readonly version: number;
  readonly change: number;
}

/** @throws REQUEST_INVALID */
export function checkAlias(alias: string): void {
  if (isAlias(alias)) return;
  fail(
    'REQUEST_INVALID',
    `"${alias}" is no alias: use lower-case letters, digits, ".", "_", "-", and not digits alone`,
    {
      param: 'alias',
    },
  );
}

/** Points an alias at a version. Nothing is written when it does so already. Inside a transaction. */
export function moveAlias(
  database: Database,
  target: { readonly tenant: string; readonly task: string; readonly version: number },
  alias: string,
  clock: Clock,
): void {
  const { tenant, task, version } = target;
  const head = database.get<HeadRow>(
    'SELECT version, change FROM aliases WHERE tenant = ? AND task = ? AND alias = ?',
    tenant,
    task,
    alias,
  );
  if (head?.version === version) return;
  setHead(database, tenant, task, alias, version, head?.change ?? null, clock);
}

/**
 * Points an alias at what it pointed at before; done twice it goes back twice. Versions that have been removed are skipped.
 * Inside a transaction.
 * @returns the version that the alias points at now
 * @throws REQUEST_INVALID there is nothing before
 */
export function rollBackAlias(database: Database, tenant: string, task: string, alias: string, clock: Clock): number {
  const head = database.get<HeadRow>(
    'SELECT version, change FROM aliases WHERE tenant = ? AND task = ? AND alias = ?',
    tenant,
    task,
    alias,
  );
  const change = head && changeOf(database, head.change);
  for (let id = change?.previous ?? null; id !== null;) {
    const earlier = changeOf(database, id);
    if (earlier.version !== head?.version && exists(database, tenant, task, earlier.version)) {
      setHead(database, tenant, task, alias, earlier.version, earlier.previous, clock);
      return earlier.version;
    }
    id = earlier.previous;
  }
  return fail('REQUEST_INVALID', `${tenant}/${task}@${alias} has no earlier version to go back to`, { param: 'alias' });
}

/** Every change of an alias, oldest first; a rollback is a change too. */
export function aliasHistory(database: Database, tenant: string, task: string, alias: string): AliasChange[] {
  return database
    .all<ChangeRow>(
      'SELECT id, version, previous, changed_at FROM alias_changes WHERE tenant = ? AND task = ? AND alias = ? ORDER BY id',
      tenant,
      task,
      alias,
    )
    .map(({ version, changed_at }) => ({ version, changedAt: changed_at }));
}

function setHead(
  database: Database,
  tenant: string,
  task: string,
  alias: string,
  version: number,
  previous: number | null,
  clock: Clock,
): void {
  const row = database.get<{ id: number }>(
    `INSERT INTO alias_changes (tenant, task, alias, version, previous, changed_at) VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
    tenant,
    task,
    alias,
    version,
    previous,
    Math.floor(clock.epochMs()),
  );
  assert(row, 'an insert returns its row');
  database.run(
    `INSERT INTO aliases (tenant, task, alias, version, change) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (tenant, task, alias) DO UPDATE SET version = excluded.version, change = excluded.change`,
    tenant,
    task,
    alias,
    version,
    row.id,
  );
}

function changeOf(database: Database, id: number): ChangeRow {
  const row = database.get<ChangeRow>('SELECT id, version, previous, changed_at FROM alias_changes WHERE id = ?', id);
  assert(row, 'the history of an alias is never removed while the alias is there');
  return row;
}

function exists(database: Database, tenant: string, task: string, version: number): boolean {
  return (
    database.get(
      'SELECT 1 FROM adapter_versions WHERE tenant = ? AND task = ? AND version = ?',
      tenant,
      task,
      version,
    ) !== undefined
  );
}
