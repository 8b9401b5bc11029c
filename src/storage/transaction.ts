import type { DatabaseSync } from 'node:sqlite';
import { assert } from '../base/index.ts';

/**
 * Runs `work` as one immediate transaction: it takes the write lock first, so what it reads cannot change before it writes.
 * It commits when `work` returns and rolls back when it throws. Transactions do not nest, and `work` is synchronous: a promise
 * would let other statements of this connection slip in.
 */
export function runInTransaction<T>(connection: DatabaseSync, work: () => T): T {
  assert(!connection.isTransaction, 'transactions do not nest');
  connection.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    assert(!(result instanceof Promise), "a transaction's work is synchronous");
    connection.exec('COMMIT');
    return result;
  } catch (error) {
    // SQLite itself rolls back on some errors, a full disk for one.
    if (connection.isTransaction) connection.exec('ROLLBACK');
    throw error;
  }
}
