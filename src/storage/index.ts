/**
 * storage: the database file and the content-addressed files that the other rooms keep their state in.
 * Owns: the SQLite connection, its migrations and transactions, blob folders. The tables belong to the rooms above.
 * May import: base.   Called by: registry tenancy jobs app.
 * Runs on: any thread or process; each opens its own.
 * Throws: CONFIG_INVALID FILE_INVALID FILE_NOT_FOUND STORAGE_BUSY STORAGE_CORRUPT INTERNAL.
 */
export { Database, type SqlRow, type SqlValue } from './database.ts';
export { deleteTenantRows, tenantTables } from './tenant-rows.ts';
export { migrate, type Migration, type MigrationSet } from './migrate.ts';
export { FileCipher } from './cipher.ts';
export { openVault, type Vault } from './vault.ts';
export { BlobStore, type BlobInfo, type BlobState, type PlainFile } from './blobs.ts';
export { isProcessAlive, makeFolderOnce, sweepTemporaries, syncFolder, writeFileAtomic } from './atomic.ts';
