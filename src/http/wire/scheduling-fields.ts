import { z } from '@hono/zod-openapi';
import { fail } from '../../base/index.ts';
import type { Scheduling } from '../requests.ts';

const MAX_PRIORITY = 1_000_000;
const MAX_TIMEOUT_MS = 24 * 3600 * 1000;

/** When a request gets its turn: the same in every endpoint that asks a model. */
export const schedulingFields = {
  priority: z.int().min(-MAX_PRIORITY).max(MAX_PRIORITY).nullish().openapi({
    description: 'As in vLLM, lower goes first, among the requests of one tenant; 0 unless told.',
  }),
  timeout: z
    .number()
    .min(0.001)
    .max(MAX_TIMEOUT_MS / 1000)
    .nullish()
    .openapi({
      description:
        'Seconds within which the answer has begun; else the request fails with 408. X-Request-Timeout-Ms says the same.',
    }),
};

const SERVICE_TIERS = ['auto', 'default', 'flex', 'priority'] as const;
export type ServiceTier = (typeof SERVICE_TIERS)[number];

/** OpenAI's tiers as priorities: `flex` goes after everything else of its tenant, `priority` before. */
const TIER_PRIORITIES: Readonly<Record<ServiceTier, number>> = { auto: 0, default: 0, flex: 1, priority: -1 };

export const serviceTier = z.enum(SERVICE_TIERS).nullish().openapi({
  description:
    'flex goes after the tenant’s other requests, like "priority": 1; priority before them, like "priority": -1.',
});

/** The tier that serves a request: `auto` leaves the choice to the server. */
export function tierOf(asked: ServiceTier | null | undefined): Exclude<ServiceTier, 'auto'> {
  return asked == null || asked === 'auto' ? 'default' : asked;
}

interface SchedulingBody {
  readonly priority?: number | null | undefined;
  readonly timeout?: number | null | undefined;
  readonly service_tier?: ServiceTier | null | undefined;
}

/**
 * What a checked body and its headers say about the request's turn.
 * @throws REQUEST_INVALID body and header differ, a tier stands beside a priority, or the header is no number of milliseconds
 */
export function schedulingOf({ priority, timeout, service_tier: tier }: SchedulingBody, headers: Headers): Scheduling {
  const tierPriority = tier == null ? null : TIER_PRIORITIES[tier];
  if (priority != null && tierPriority !== null && tierPriority !== 0) {
    fail('REQUEST_INVALID', `service_tier "${tier}" and priority ${priority} say the same in two ways: send one`, {
      param: 'priority',
    });
  }
  const lower = priority ?? tierPriority ?? 0;
  // The engine's order is the other way round.
  return { priority: lower === 0 ? 0 : -lower, timeoutMs: timeoutMsOf(timeout, headers.get('x-request-timeout-ms')) };
}

function timeoutMsOf(timeout: number | null | undefined, header: string | null): number | null {
  const inBody = timeout == null ? null : Math.ceil(timeout * 1000);
  if (header === null) return inBody;
  const inHeader = /^[1-9]\d{0,8}$/.test(header) ? Number(header) : NaN;
  if (!(inHeader <= MAX_TIMEOUT_MS)) {
    const expected = `a whole number of milliseconds from 1 to ${MAX_TIMEOUT_MS}`;
    fail('REQUEST_INVALID', `X-Request-Timeout-Ms must be ${expected}, got ${JSON.stringify(header)}`, {
      param: 'X-Request-Timeout-Ms',
    });
  }
  if (inBody !== null && inBody !== inHeader) {
    fail('REQUEST_INVALID', `timeout is ${timeout} s and X-Request-Timeout-Ms is ${header}: send one`, {
      param: 'timeout',
    });
  }
  return inHeader;
}
