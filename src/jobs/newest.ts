import type { Database } from '../storage/index.ts';

/** A page that was asked with one more than it holds, so that it is known whether there are more. */
export interface Listed<T> {
  readonly items: readonly T[];
  readonly hasMore: boolean;
}

/** A table of things that belong to a job, and the column that rises from one to the next. */
type JobTable = readonly ['job_events', 'seq'] | readonly ['job_checkpoints', 'step'];

/** Which rows are listed: a condition of SQL with its values. */
export interface Only {
  readonly sql: string;
  readonly values: readonly number[];
}

const ALL: Only = { sql: 'TRUE', values: [] };

/**
 * What a job has in a table, the latest first, behind the one with the id `after`, which need not be listed itself; an unknown `after` gives
 * undefined.
 */
export function newestOf<Row extends object, Item>(
  database: Database,
  [table, column]: JobTable,
  job: string,
  { limit, after }: { readonly limit: number; readonly after: string | undefined },
  itemOf: (row: Row) => Item,
  only = ALL,
): Listed<Item> | undefined {
  const start =
    after === undefined
      ? { place: Number.MAX_SAFE_INTEGER }
      : database.get<{ place: number }>(`SELECT ${column} AS place FROM ${table} WHERE id = ? AND job = ?`, after, job);
  if (!start) return undefined;
  const sql = `SELECT * FROM ${table} WHERE job = ? AND ${column} < ? AND (${only.sql}) ORDER BY ${column} DESC LIMIT ?`;
  const rows = database.all<Row>(sql, job, start.place, ...only.values, limit + 1);
  return { items: rows.slice(0, limit).map(itemOf), hasMore: rows.length > limit };
}
