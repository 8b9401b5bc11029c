import { z } from '@hono/zod-openapi';
import { INTERVAL_MS, NUM_INTERVALS, type Counts, type Traffic } from '../traffic.ts';
import { secondsOf } from './files.ts';

const count = z.int().min(0);

const counts = {
  requests: count.openapi({ description: 'That ended, refused ones included.' }),
  errors: count.openapi({ description: 'Of them, those that got an error; a client that went away is none.' }),
  prompt_tokens: count,
  cached_tokens: count,
  completion_tokens: count,
  mean_seconds: z.number().nullable().openapi({ description: 'To the last byte.' }),
  mean_first_token_seconds: z.number().nullable(),
};

export const traffic = z
  .object({
    object: z.literal('traffic'),
    interval_seconds: z.int(),
    from: z.int().openapi({ description: 'Seconds since 1970; intervals begin at multiples of their length.' }),
    to: z.int(),
    data: z
      .array(z.object({ at: z.int(), ...counts }))
      .openapi({ description: 'Without intervals in which nothing ended.' }),
    tenants: z
      .array(z.object({ tenant: z.string(), ...counts }))
      .optional()
      .openapi({ description: 'Sums by tenant, for the operator’s key.' }),
  })
  .openapi('Traffic');

/** @param tenant null is the operator @param nowMs since 1970 */
export function trafficOf(of: Traffic, tenant: string | null, nowMs: number): z.output<typeof traffic> {
  const to = Math.floor(nowMs / INTERVAL_MS) * INTERVAL_MS + INTERVAL_MS;
  return {
    object: 'traffic',
    interval_seconds: INTERVAL_MS / 1000,
    from: secondsOf(to - NUM_INTERVALS * INTERVAL_MS),
    to: secondsOf(to),
    data: of.series(tenant).map(({ at, ...sums }) => ({ at: secondsOf(at), ...countsOf(sums) })),
    ...(tenant === null && {
      tenants: of.byTenant().map(({ tenant: name, counts: sums }) => ({ tenant: name, ...countsOf(sums) })),
    }),
  };
}

function countsOf(of: Counts) {
  return {
    requests: of.requests,
    errors: of.errors,
    prompt_tokens: of.promptTokens,
    cached_tokens: of.cachedTokens,
    completion_tokens: of.completionTokens,
    mean_seconds: of.requests === 0 ? null : of.seconds / of.requests,
    mean_first_token_seconds: of.firstTokens === 0 ? null : of.firstTokenSeconds / of.firstTokens,
  };
}
