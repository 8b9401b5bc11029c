/**
 * tenancy: who may ask, how much at once, and what they have used.
 * Owns: the tables of tenants, keys and usage; the counts of requests in flight.
 * May import: base storage.   Called by: app.
 * Runs on: any process; requests in flight are counted per process.
 * Throws: TENANT_NOT_FOUND TENANT_EXISTS KEY_INVALID KEY_NOT_FOUND OVERLOADED REQUEST_INVALID.
 */
export { TENANCY_MIGRATIONS } from './tables.ts';
export { Tenants, type Tenant } from './tenants.ts';
export { ApiKeys, ROLES, type ApiKey, type NewApiKey, type Principal, type Role } from './api-keys.ts';
export { Quotas } from './quotas.ts';
export { UsageMeter, type Usage, type UsageRow } from './usage.ts';
