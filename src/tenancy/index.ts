/**
 * tenancy: who may ask, how much at once, and what they have used.
 * Owns: the tables of tenants, keys, usage, prices and erasures; the counts of requests in flight, and of requests and tokens per minute.
 * May import: base storage.   Called by: app.
 * Runs on: any process; requests in flight and rates are counted per process.
 * Throws: TENANT_NOT_FOUND TENANT_EXISTS KEY_INVALID KEY_NOT_FOUND OVERLOADED REQUEST_INVALID.
 */
export { TENANCY_MIGRATIONS } from './tables.ts';
export { Tenants, type Tenant } from './tenants.ts';
export { ApiKeys, ROLES, type ApiKey, type NewApiKey, type Principal, type Role } from './api-keys.ts';
export { LIMIT_NAMES, NO_LIMITS, type TenantLimits } from './limits.ts';
export { Erasures, type Erasure } from './erasures.ts';
export { Quotas } from './quotas.ts';
export { RateLimits, type RateState, type Reservation } from './rate-limits.ts';
export type { BudgetState } from './token-bucket.ts';
export { UsageMeter, type Usage, type UsageRow } from './usage.ts';
export { PRICE_NAMES, Prices, type PriceRow, type TokenPrices } from './prices.ts';
export { BILL_GROUPS, billCsv, billOf, costText, type BillGroup, type BillLine } from './bill.ts';
