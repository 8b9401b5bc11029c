import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '../base/index.ts';
import { Database } from './database.ts';
import type { MigrationSet } from './migrate.ts';

const NOTES: MigrationSet = {
  room: 'notes',
  migrations: [
    { version: 1, name: 'notes', sql: 'CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT' },
  ],
};
const NEWER_NOTES: MigrationSet = {
  room: 'notes',
  migrations: [
    ...NOTES.migrations,
    { version: 2, name: 'tags', sql: "ALTER TABLE notes ADD COLUMN tag TEXT NOT NULL DEFAULT 'none'" },
  ],
};

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'espalier-database-'));
});
after(() => rm(folder, { recursive: true }));

const open = (name: string, sets: readonly MigrationSet[] = [NOTES]): Database =>
  Database.open(join(folder, name), sets, systemClock);

test('is durable, checks foreign keys and lets readers work beside a writer', () => {
  using database = open('settings.db');
  assert.deepEqual({ ...database.get('PRAGMA journal_mode') }, { journal_mode: 'wal' });
  assert.deepEqual({ ...database.get('PRAGMA synchronous') }, { synchronous: 2 });
  assert.deepEqual({ ...database.get('PRAGMA foreign_keys') }, { foreign_keys: 1 });
  assert.deepEqual({ ...database.get('PRAGMA busy_timeout') }, { timeout: 5000 });
});

test('a migration is applied once and keeps the rows', () => {
  {
    using database = open('migrated.db');
    database.run('INSERT INTO notes (text) VALUES (?)', 'kept');
  }
  {
    using database = open('migrated.db', [NEWER_NOTES]);
    assert.deepEqual(
      database.all('SELECT text, tag FROM notes').map((row) => ({ ...row })),
      [{ text: 'kept', tag: 'none' }],
    );
  }
  using again = open('migrated.db', [NEWER_NOTES]);
  assert.equal(again.get<{ n: number }>('SELECT count(*) AS n FROM migrations')?.n, 2);
});

test('a failing migration leaves the database as it was', () => {
  open('failing.db').close();
  const broken: MigrationSet = {
    room: 'notes',
    migrations: [
      ...NOTES.migrations,
      { version: 2, name: 'broken', sql: 'CREATE TABLE half (a); CREATE TABLE notes (a)' },
    ],
  };
  assert.throws(() => open('failing.db', [broken]), { code: 'INTERNAL', message: /already exists/ });
  using database = open('failing.db');
  assert.equal(database.get("SELECT 1 FROM sqlite_schema WHERE name = 'half'"), undefined);
});

test('a database of a newer version is refused, and a changed migration is noticed', () => {
  open('newer.db', [NEWER_NOTES]).close();
  assert.throws(() => open('newer.db'), { code: 'FILE_INVALID', message: /notes tables are of version 2/ });
  const first = NOTES.migrations[0];
  assert.ok(first);
  const changed: MigrationSet = { room: 'notes', migrations: [{ ...first, sql: `${first.sql} -- changed` }] };
  open('changed.db').close();
  assert.throws(() => open('changed.db', [changed]), { code: 'INTERNAL' });
});

test('a file that is no database is refused', async () => {
  await writeFile(
    join(folder, 'text.db'),
    'this is a text file, long enough to have a header of its own, and not a database'.repeat(4),
  );
  assert.throws(() => open('text.db'), { code: 'FILE_INVALID', message: /not an SQLite database/ });
});

test('a transaction is wholly done or not at all, also inside another', () => {
  using database = open('transaction.db');
  const insert = (text: string): number => database.run('INSERT INTO notes (text) VALUES (?)', text);
  assert.equal(
    database.transaction(() => insert('one')),
    1,
  );
  assert.throws(() =>
    database.transaction(() => {
      insert('two');
      throw new Error('changed my mind');
    }),
  );
  assert.throws(() =>
    database.transaction(() => {
      insert('three');
      database.transaction(() => insert('four'));
      throw new Error('the whole is undone');
    }),
  );
  database.transaction(() => {
    insert('six');
    assert.throws(() =>
      database.transaction(() => {
        insert('seven');
        throw new Error('only the part is undone');
      }),
    );
    database.transaction(() => insert('eight'));
  });
  assert.throws(() => database.transaction(async () => insert('five')), { code: 'INTERNAL', message: /synchronous/ });
  assert.deepEqual(
    database.all<{ text: string }>('SELECT text FROM notes').map(({ text }) => text),
    ['one', 'six', 'eight'],
  );
});

test('a second writer waits for the first, a reader does not', () => {
  using first = open('shared.db');
  using second = open('shared.db');
  second.execute('PRAGMA busy_timeout = 1');
  first.transaction(() => {
    first.run('INSERT INTO notes (text) VALUES (?)', 'mine');
    assert.equal(second.get<{ n: number }>('SELECT count(*) AS n FROM notes')?.n, 0);
    assert.throws(() => second.transaction(() => 0), { code: 'STORAGE_BUSY' });
  });
  assert.equal(second.get<{ n: number }>('SELECT count(*) AS n FROM notes')?.n, 1);
});
