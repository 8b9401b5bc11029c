import type { Database } from './database.ts';

/** The tables, of all rooms, whose rows are a tenant's: they have a column `tenant`. */
export function tenantTables(database: Database): string[] {
  return database
    .all<{ name: string }>(
      `SELECT m.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c
       WHERE m.type = 'table' AND c.name = 'tenant' ORDER BY m.name`,
    )
    .map(({ name }) => name);
}

/**
 * Deletes a tenant's rows from every table that has a column `tenant`, and with them what hangs on them by a cascade. So a table that is added
 * later is erased too, whoever adds it. Inside a transaction; references between the tables are checked at its end.
 * @param except tables whose owner erases them otherwise
 */
export function deleteTenantRows(database: Database, tenant: string, except: readonly string[]): void {
  database.execute('PRAGMA defer_foreign_keys = ON');
  for (const table of tenantTables(database)) {
    if (!except.includes(table)) database.run(`DELETE FROM "${table}" WHERE tenant = ?`, tenant);
  }
}
