import type { TokenPrices } from './prices.ts';
import type { UsageRow } from './usage.ts';

/** By what bill lines tell their usage apart; what is not named is added up. */
export const BILL_GROUPS = ['tenant', 'project', 'adapter', 'day', 'month'] as const;
export type BillGroup = (typeof BILL_GROUPS)[number];

/** One line of a bill. What it does not tell apart is null. */
export interface BillLine {
  readonly tenant: string | null;
  readonly project: string | null;
  readonly adapter: string | null;
  /** `2026-01-31`, or `2026-01` by month. */
  readonly period: string | null;
  readonly requests: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly trainingTokens: number;
  /** In millionths of {@link currency}, whole: lines add up to the total exactly. */
  readonly costMicros: number;
  /** Null: no price was set. Usage in several currencies makes several lines. */
  readonly currency: string | null;
}

/**
 * Usage as bill lines, in the order of what tells them apart. A price is for a million tokens, so tokens times price are millionths; each row of
 * usage is rounded once, and everything else is whole numbers.
 * @param priceOf what a tenant paid on a day
 */
export function billOf(
  rows: readonly UsageRow[],
  groups: readonly BillGroup[],
  priceOf: (tenant: string, day: string) => TokenPrices,
): BillLine[] {
  const lines = new Map<string, BillLine>();
  const has = (group: BillGroup): boolean => groups.includes(group);
  for (const row of rows) {
    const prices = priceOf(row.tenant, row.day);
    const named = {
      tenant: has('tenant') ? row.tenant : null,
      project: has('project') ? row.project : null,
      adapter: has('adapter') ? row.adapter : null,
      period: has('day') ? row.day : has('month') ? row.day.slice(0, 7) : null,
    };
    const key = JSON.stringify([named.tenant, named.period, named.project, named.adapter, prices.currency]);
    const line = lines.get(key);
    lines.set(key, {
      ...named,
      requests: (line?.requests ?? 0) + row.requests,
      promptTokens: (line?.promptTokens ?? 0) + row.promptTokens,
      cachedTokens: (line?.cachedTokens ?? 0) + row.cachedTokens,
      completionTokens: (line?.completionTokens ?? 0) + row.completionTokens,
      trainingTokens: (line?.trainingTokens ?? 0) + row.trainingTokens,
      costMicros: (line?.costMicros ?? 0) + costMicros(row, prices),
      currency: prices.currency,
    });
  }
  return [...lines].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, line]) => line);
}

function costMicros(row: UsageRow, prices: TokenPrices): number {
  const cost =
    (row.promptTokens - row.cachedTokens) * (prices.prompt ?? 0) +
    // Where nothing else is said, the cache makes an answer faster and not cheaper.
    row.cachedTokens * (prices.cached ?? prices.prompt ?? 0) +
    row.completionTokens * (prices.completion ?? 0) +
    row.trainingTokens * (prices.training ?? 0);
  return Math.round(cost);
}

const COLUMNS = [
  ['tenant', ({ tenant }) => tenant ?? ''],
  ['project', ({ project }) => project ?? ''],
  ['period', ({ period }) => period ?? ''],
  ['adapter', ({ adapter }) => adapter ?? ''],
  ['requests', ({ requests }) => String(requests)],
  ['prompt_tokens', ({ promptTokens }) => String(promptTokens)],
  ['cached_tokens', ({ cachedTokens }) => String(cachedTokens)],
  ['completion_tokens', ({ completionTokens }) => String(completionTokens)],
  ['training_tokens', ({ trainingTokens }) => String(trainingTokens)],
  ['cost', (line) => costText(line.costMicros)],
  ['currency', ({ currency }) => currency ?? ''],
] as const satisfies readonly (readonly [string, (line: BillLine) => string])[];

/** Bill lines as CSV (RFC 4180), with a head. */
export function billCsv(lines: readonly BillLine[]): string {
  const rows = [COLUMNS.map(([name]) => name), ...lines.map((line) => COLUMNS.map(([, of]) => of(line)))];
  return rows.map((row) => `${row.map(quoted).join(',')}\r\n`).join('');
}

/** Millionths as a decimal number with six places. */
export function costText(micros: number): string {
  return `${Math.floor(micros / 1e6)}.${String(micros % 1e6).padStart(6, '0')}`;
}

/** No field begins as a spreadsheet's formula does: names and digests begin with letters, digits or a bracket. */
function quoted(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
