import type { DatabaseSync } from 'node:sqlite';
import { assert } from '../base/index.ts';

/**
 * Runs `work` as one immediate transaction: it takes the write lock first, so what it reads cannot change before it writes.
 * It commits when `work` returns and rolls back when it throws. Inside another transaction it is a part of that one: a savepoint, undone
 * alone when it throws, kept only if the whole is. `work` is synchronous: a promise would let other statements of this connection slip in.
 */
export function runInTransaction<T>(connection: DatabaseSync, work: () => T): T {
  const isInner = connection.isTransaction;
  connection.exec(isInner ? 'SAVEPOINT inner_part' : 'BEGIN IMMEDIATE');
  try {
    const result = work();
    assert(!(result instanceof Promise), "a transaction's work is synchronous");
    connection.exec(isInner ? 'RELEASE inner_part' : 'COMMIT');
    return result;
  } catch (error) {
    // SQLite itself rolls back on some errors, a full disk for one.
    if (connection.isTransaction) connection.exec(isInner ? 'ROLLBACK TO inner_part; RELEASE inner_part' : 'ROLLBACK');
    throw error;
  }
}
