import { z } from '@hono/zod-openapi';
import type { BillGroup, BillLine } from '../../tenancy/index.ts';

/** As the room of tenants has them; of that room only types are known here. */
const GROUPS = ['tenant', 'project', 'adapter', 'day', 'month'] as const satisfies readonly BillGroup[];
const DEFAULT_GROUPS = ['tenant', 'adapter'] as const satisfies readonly BillGroup[];
const MONTH_MS = 30 * 24 * 3600 * 1000;

const day = z.iso.date().openapi({ description: 'UTC, 2026-01-31; both ends are part of it.' });

export const usageQuery = z.strictObject({
  from: day.optional(),
  to: day.optional(),
  group: z
    .string()
    .optional()
    .openapi({
      description: `What lines tell apart, with commas: ${GROUPS.join(', ')}. ${DEFAULT_GROUPS.join(', ')} unless told.`,
    }),
  format: z.enum(['json', 'csv']).default('json'),
  tenant: z.string().optional().openapi({ description: 'For the operator: only this tenant’s.' }),
});

const count = z.int().min(0);
const line = z
  .object({
    object: z.literal('usage.line'),
    tenant: z.string().nullable().openapi({ description: 'null, as below: the lines do not tell it apart.' }),
    project: z.string().nullable(),
    adapter: z.string().nullable().openapi({ description: 'A digest, or "base".' }),
    period: z.string().nullable(),
    requests: count,
    prompt_tokens: count,
    cached_tokens: count.openapi({ description: 'Of the prompt’s, those that were in the cache.' }),
    completion_tokens: count,
    training_tokens: count,
    cost: z.number(),
    currency: z.string().nullable().openapi({ description: 'null: there is no price.' }),
  })
  .openapi('UsageLine');

export const usageList = z
  .object({ object: z.literal('list'), from: day, to: day, data: z.array(line) })
  .openapi('UsageList');

export function usageLineOf(of: BillLine): z.output<typeof line> {
  return {
    object: 'usage.line',
    tenant: of.tenant,
    project: of.project,
    adapter: of.adapter,
    period: of.period,
    requests: of.requests,
    prompt_tokens: of.promptTokens,
    cached_tokens: of.cachedTokens,
    completion_tokens: of.completionTokens,
    training_tokens: of.trainingTokens,
    cost: of.costMicros / 1e6,
    currency: of.currency,
  };
}

/** The last thirty days unless told. */
export function periodOf(
  { from, to }: { readonly from?: string | undefined; readonly to?: string | undefined },
  nowMs: number,
): { readonly from: string; readonly to: string } {
  const dayOf = (epochMs: number): string => new Date(epochMs).toISOString().slice(0, 10);
  const end = to ?? dayOf(nowMs);
  return { from: from ?? dayOf(Date.parse(end) - MONTH_MS), to: end };
}

/** Undefined: a word is none of the groups. */
export function groupsOf(text: string | undefined): readonly BillGroup[] | undefined {
  if (text === undefined) return DEFAULT_GROUPS;
  const words = text.split(',').map((word) => GROUPS.find((group) => group === word.trim()));
  return words.includes(undefined) ? undefined : words.filter((word) => word !== undefined);
}

export const GROUP_NAMES: string = GROUPS.join(', ');
