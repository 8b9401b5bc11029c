import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { EspalierError, errorMessage, fail, type Clock } from '../base/index.ts';
import { migrate, type MigrationSet } from './migrate.ts';
import { runInTransaction } from './transaction.ts';

export type SqlValue = string | number | null | Uint8Array;
export type SqlRow = Record<string, SqlValue>;

/** How long a statement waits for another process's write before it fails with STORAGE_BUSY. */
const BUSY_TIMEOUT_MS = 5_000;

/** SQLite's primary result codes that have a meaning for us (sqlite.org/rescode.html). */
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_CORRUPT = 11;
const SQLITE_NOT_A_DATABASE = 26;

/**
 * One connection to the state database. Write-ahead logging lets readers and one writer work at once, in any number of processes;
 * `synchronous = FULL` makes a committed transaction survive a power cut, not only a crash of the process.
 */
export class Database implements Disposable {
  readonly #connection: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  private constructor(connection: DatabaseSync) {
    this.#connection = connection;
  }

  /**
   * Opens or creates the file at `path` (or `:memory:`) and brings the tables of all rooms up to date.
   * @throws FILE_INVALID the file is no database, or was written by a newer version
   * @throws STORAGE_BUSY another process holds it for too long
   */
  static open(path: string, sets: readonly MigrationSet[], clock: Clock): Database {
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true });
    const connection = translated(`${path}: cannot be opened`, () => {
      const opened = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true });
      try {
        opened.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
        return opened;
      } catch (error) {
        opened.close();
        throw error;
      }
    });
    const database = new Database(connection);
    try {
      migrate(database, sets, clock);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Runs a statement that returns no rows; its result is the number of rows changed. */
  run(sql: string, ...values: SqlValue[]): number {
    return translated(sql, () => Number(this.#prepare(sql).run(...values).changes));
  }

  /** The first row. `Row` is the caller's statement of what the SQL selects. */
  get<Row extends object = SqlRow>(sql: string, ...values: SqlValue[]): Row | undefined {
    return translated(sql, () => this.#prepare(sql).get(...values) as Row | undefined);
  }

  all<Row extends object = SqlRow>(sql: string, ...values: SqlValue[]): Row[] {
    return translated(sql, () => this.#prepare(sql).all(...values) as Row[]);
  }

  /** Runs several statements of a script, without values. */
  execute(script: string): void {
    translated('a script', () => this.#connection.exec(script));
  }

  /** See {@link runInTransaction}. */
  transaction<T>(work: () => T): T {
    return translated('a transaction', () => runInTransaction(this.#connection, work));
  }

  /**
   * Writes the whole file anew, so that no page has a trace of what was deleted, and empties the write-ahead log, which has the old pages. Not in a
   * transaction. What SQLite needs meanwhile stays in memory.
   * @throws STORAGE_BUSY another process reads or writes
   */
  compact(): void {
    this.execute('PRAGMA temp_store = MEMORY; VACUUM');
    const result = this.get<{ busy: number }>('PRAGMA wal_checkpoint(TRUNCATE)');
    if (result?.busy === 1) fail('STORAGE_BUSY', 'the write-ahead log is read by another process: try again');
  }

  close(): void {
    if (this.#connection.isOpen) this.#connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#connection.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

/** Gives SQLite's failures our codes; ours pass through. */
function translated<T>(doing: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof EspalierError) throw error;
    const message = errorMessage(error);
    switch (primaryCode(error)) {
      case SQLITE_BUSY:
      case SQLITE_LOCKED:
        return fail('STORAGE_BUSY', `the database is held by another process (${message}): try again`, {
          cause: error,
        });
      case SQLITE_NOT_A_DATABASE:
        return fail('FILE_INVALID', `${doing}: it is not an SQLite database`, { cause: error });
      case SQLITE_CORRUPT:
        return fail('STORAGE_CORRUPT', `the database is damaged (${message}): restore it from a copy`, {
          cause: error,
        });
      default:
        return fail('INTERNAL', `${doing}: ${message}`, { cause: error });
    }
  }
}

/** An extended result code holds its primary code in the low byte. */
function primaryCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode & 0xff;
}
