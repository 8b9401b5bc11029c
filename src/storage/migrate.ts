import { createHash } from 'node:crypto';
import { assert, fail, type Clock } from '../base/index.ts';
import type { Database } from './database.ts';

/** One step of a room's tables. Once released it never changes: a correction is the next number. */
export interface Migration {
  /** 1, 2, 3… without gaps. */
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

/** The migrations of the room that owns the tables. */
export interface MigrationSet {
  readonly room: string;
  readonly migrations: readonly Migration[];
}

interface AppliedRow {
  readonly room: string;
  readonly version: number;
  readonly digest: string;
}

/**
 * Applies what is missing, all rooms in one transaction: a process that dies leaves the old tables, and of two that start at
 * once the second finds nothing to do.
 * @throws FILE_INVALID the database was written by a newer version
 */
export function migrate(database: Database, sets: readonly MigrationSet[], clock: Clock): void {
  for (const { room, migrations } of sets) {
    assert(
      migrations.every(({ version }, index) => version === index + 1),
      `migrations of ${room} are numbered 1, 2, 3…`,
    );
  }
  database.transaction(() => {
    database.run(
      `CREATE TABLE IF NOT EXISTS migrations (
         room TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, applied_at INTEGER NOT NULL,
         PRIMARY KEY (room, version)) STRICT, WITHOUT ROWID`,
    );
    const applied = database.all<AppliedRow>('SELECT room, version, digest FROM migrations');
    for (const set of sets) {
      const rows = applied.filter(({ room }) => room === set.room);
      refuseNewer(set, rows);
      for (const migration of set.migrations) {
        const row = rows.find(({ version }) => version === migration.version);
        if (row)
          assert(row.digest === digestOf(migration), `migration ${set.room}/${migration.version} is as it was applied`);
        else apply(database, set.room, migration, clock);
      }
    }
  });
}

function refuseNewer(set: MigrationSet, rows: readonly AppliedRow[]): void {
  const newest = Math.max(0, ...rows.map(({ version }) => version));
  if (newest <= set.migrations.length) return;
  fail(
    'FILE_INVALID',
    `the database's ${set.room} tables are of version ${newest}, this Espalier knows up to ${set.migrations.length}: ` +
      'use the newer Espalier, or another home folder',
  );
}

function apply(database: Database, room: string, migration: Migration, clock: Clock): void {
  database.execute(migration.sql);
  database.run(
    'INSERT INTO migrations (room, version, name, digest, applied_at) VALUES (?, ?, ?, ?, ?)',
    room,
    migration.version,
    migration.name,
    digestOf(migration),
    Math.floor(clock.epochMs()),
  );
}

function digestOf({ sql }: Migration): string {
  return createHash('sha256').update(sql).digest('hex');
}
