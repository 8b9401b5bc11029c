/**
 * audit: who changed what, and when, in a log that only grows and whose every entry is bound to all before it.
 * Owns: the table of the log, the chain of its hashes.
 * May import: base storage.   Called by: app.
 * Runs on: any process; entries of several processes of one home are one chain.
 * Throws: REQUEST_INVALID STORAGE_CORRUPT.
 */
export { AUDIT_MIGRATIONS } from './tables.ts';
export { AuditLog, type AuditEntry, type AuditPage, type AuditRecord } from './audit-log.ts';
export { verifyChain, type AuditHead, type AuditVerdict } from './verify.ts';
export type { JsonFields } from './chain.ts';
