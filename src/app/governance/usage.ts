import type { UsageServices } from '../../http/index.ts';
import {
  billCsv,
  billOf,
  type BillGroup,
  type BillLine,
  type PriceRow,
  type TokenPrices,
} from '../../tenancy/index.ts';
import type { AppConfig } from '../config.ts';
import { openPlatform, type Platform } from '../platform.ts';
import { ACTOR_CLI } from './entries.ts';

export interface BillRequest {
  /** Days, UTC, both included. */
  readonly from: string;
  readonly to: string;
  readonly groups: readonly BillGroup[];
  /** Undefined: everybody's. */
  readonly tenant: string | undefined;
}

/** What was used between two days, priced as it was on its day. */
function makeBill(
  { usage, prices }: Pick<Platform, 'usage' | 'prices'>,
  { from, to, groups, tenant }: BillRequest,
): BillLine[] {
  // This process's own counts of the last seconds are part of it.
  usage.flush();
  return billOf(usage.read(tenant ?? null, from, to), groups, (name, day) => prices.of(name, day));
}

/** Bills over HTTP. What a tenant asks about another is answered as about nobody. */
export function makeUsageServices(platform: Pick<Platform, 'usage' | 'prices' | 'tenants' | 'audit'>): UsageServices {
  return {
    bill({ tenant: own }, { tenant, ...query }) {
      if (own !== null && tenant !== undefined && tenant !== own) return [];
      return makeBill(platform, { ...query, tenant: own ?? tenant });
    },
    csv: billCsv,
    prices: ({ tenant }) => (tenant === null ? platform.prices.list() : platform.prices.paidBy(tenant)),
    setPrices: ({ keyId }, tenant, change) => changePrices(platform, keyId, tenant, change),
  };
}

/** What was used, as bill lines. */
export async function readBill(config: AppConfig, request: BillRequest): Promise<BillLine[]> {
  await using platform = await openPlatform(config);
  return makeBill(platform, request);
}

/**
 * Changes prices, from today on.
 * @param actor whoever asked for it, for the audit log
 * @param tenant null: everybody's
 * @throws TENANT_NOT_FOUND REQUEST_INVALID
 */
function changePrices(
  { prices, tenants, audit }: Pick<Platform, 'prices' | 'tenants' | 'audit'>,
  actor: string,
  tenant: string | null,
  change: Partial<TokenPrices>,
): PriceRow {
  if (tenant !== null) tenants.get(tenant);
  return audit.during(
    () => prices.set(tenant, change),
    () => ({
      actor,
      tenant,
      action: 'prices.set',
      target: tenant ?? 'everybody',
      detail: Object.fromEntries(Object.entries(change)),
    }),
  );
}

/** The same from this machine's command line. */
export async function setPrices(
  config: AppConfig,
  tenant: string | null,
  change: Partial<TokenPrices>,
): Promise<PriceRow> {
  await using platform = await openPlatform(config);
  return changePrices(platform, ACTOR_CLI, tenant, change);
}

/** All prices that were ever set. */
export async function listPrices(config: AppConfig): Promise<PriceRow[]> {
  await using platform = await openPlatform(config);
  return platform.prices.list();
}
