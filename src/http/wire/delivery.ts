/** Gates, canaries and shadows on the wire. */
import { z } from '@hono/zod-openapi';
import type {
  ArmCounts,
  CanaryReport,
  CanarySettings,
  DeliveryEvent,
  Gate,
  Shadow,
  ShadowReport,
} from '../../delivery/index.ts';
import type { GateRequest } from '../delivery-services.ts';
import { orNull } from './or-null.ts';

const MAX_ANSWER_TOKENS = 100_000;
const seconds = z.int().openapi({ description: 'Seconds since 1970.' });
const version = z.int().min(1);
const share = z.number().gt(0).max(1);
const nullable = (schema: z.ZodNumber, description: string) => schema.nullable().openapi({ description });

const gateFields = {
  metric: z.string().min(1).max(64).openapi({ description: 'As espalier evaluate knows it: accuracy, loss…' }),
  threshold: nullable(z.number(), 'The score is at least this; a loss at most.'),
  tolerance: nullable(z.number().min(0), 'It is no more than so much worse than that of the version that answers.'),
  max_tokens: z.int().min(1).max(MAX_ANSWER_TOKENS),
};

export const gate = z
  .object({
    object: z.literal('gate'),
    ...gateFields,
    data: z.string().openapi({ description: 'Digest of the examples: a copy that belongs to the gate.' }),
    filename: z.string(),
    changed_at: seconds,
  })
  .openapi('Gate');

export const gateRequest = z
  .strictObject({
    file: z.string().min(1).max(128).openapi({ description: 'Id of an uploaded file: the held-out examples.' }),
    metric: gateFields.metric,
    threshold: gateFields.threshold.default(null),
    tolerance: gateFields.tolerance.default(null),
    max_tokens: gateFields.max_tokens.default(128),
  })
  .openapi('GateRequest');

const ruleFields = {
  min_requests: z.int().min(1).max(1_000_000).openapi({ description: 'Of the canary in each step, at least.' }),
  min_seconds: z.number().min(0).max(31_536_000).openapi({ description: 'That a step takes at least.' }),
  max_error_increase: z.number().min(0).max(1).openapi({ description: 'Above the error rate of the others.' }),
  max_error_rate: nullable(z.number().min(0).max(1), 'null: not looked at, as below.'),
  min_score: nullable(z.number().min(0).max(1), 'The mean of its scores; see /api/feedback.'),
  max_score_drop: nullable(z.number().min(0).max(1), 'Below the mean of the others’ scores.'),
  max_latency_factor: nullable(z.number().min(1).max(1000), 'Times the others’ (geometric means of seconds).'),
};

export const canaryRequest = z
  .strictObject({
    version,
    share: share.openapi({ description: 'Of the task’s sessions.' }),
    steps: z.array(share).max(15).default([]).openapi({ description: 'The shares after the first; they rise.' }),
    promote: z.boolean().default(false).openapi({ description: 'latest becomes the version after the last step.' }),
    min_requests: ruleFields.min_requests.default(100),
    min_seconds: ruleFields.min_seconds.default(0),
    max_error_increase: ruleFields.max_error_increase.default(0.02),
    max_error_rate: ruleFields.max_error_rate.default(null),
    min_score: ruleFields.min_score.default(null),
    max_score_drop: ruleFields.max_score_drop.default(null),
    max_latency_factor: ruleFields.max_latency_factor.default(null),
    gate: z
      .boolean()
      .default(true)
      .openapi({ description: 'false, for an admin’s key: the task’s gate is not asked.' }),
  })
  .openapi('CanaryRequest');

const counts = z
  .object({
    requests: z.int(),
    errors: z.int(),
    mean_seconds: z.number().nullable().openapi({ description: 'Geometric.' }),
    scores: z.int(),
    mean_score: z.number().nullable(),
  })
  .openapi('CanaryCounts');

export const canary = z
  .object({
    object: z.literal('canary'),
    version,
    status: z.enum(['running', 'passed', 'promoting', 'promoted', 'rolled-back', 'stopped']),
    reason: z.string().nullable().openapi({ description: 'Why it ended.' }),
    share: z.number().openapi({ description: 'Of the sessions, now; 0 when it has ended.' }),
    step: z.int(),
    shares: z.array(z.number()),
    promote: z.boolean(),
    ...ruleFields,
    started_at: seconds,
    ended_at: seconds.nullable(),
    canary: counts,
    stable: counts,
  })
  .openapi('Canary');

export const shadowRequest = z
  .strictObject({ version, share: share.default(1).openapi({ description: 'Of the task’s requests.' }) })
  .openapi('ShadowRequest');

const shadowFields = {
  version,
  share: z.number(),
  started_at: seconds,
  ended_at: seconds.nullable(),
  skipped: z.int().openapi({ description: 'Requests for which there was no quiet moment.' }),
};
export const shadow = z.object({ object: z.literal('shadow'), ...shadowFields }).openapi('Shadow');

const figures = z.object({ chars: z.number(), tokens: z.number(), ms: z.number() }).openapi('AnswerFigures', {
  description: 'Means of an answer’s length and of the time that it took, waiting not counted.',
});

export const shadowReport = z
  .object({
    object: z.literal('shadow_report'),
    ...shadowFields,
    compared: z.int(),
    failed: z.int(),
    last_error: z.string().nullable(),
    equal_share: z
      .number()
      .nullable()
      .openapi({ description: 'Of the compared answers, those that are the same text.' }),
    mean_similarity: z.number().nullable().openapi({ description: 'ROUGE-L of the two answers, 0 to 1.' }),
    primary: orNull(figures),
    shadow: orNull(figures),
    least_similar: z.array(z.object({ request_id: z.string(), similarity: z.number() })),
  })
  .openapi('ShadowReport');

export const deliveryEvents = z
  .object({
    object: z.literal('list'),
    data: z.array(
      z.object({
        object: z.literal('delivery_event'),
        seq: z.int(),
        at: seconds,
        kind: z.string(),
        version: version.nullable(),
        actor: z.string().nullable().openapi({ description: 'Id of a key, or operator; null: a rule.' }),
        message: z.string(),
      }),
    ),
  })
  .openapi('DeliveryEvents');

export const feedbackRequest = z
  .strictObject({
    request_id: z.string().min(1).max(128).openapi({ description: 'X-Request-Id of the answer.' }),
    score: z.number().min(0).max(1).openapi({ description: '1 is best. A second score takes the first one’s place.' }),
  })
  .openapi('FeedbackRequest');
export const feedback = z
  .object({ object: z.literal('feedback'), request_id: z.string(), score: z.number() })
  .openapi('Feedback');

export function gateOf(of: Gate): z.output<typeof gate> {
  return {
    object: 'gate',
    metric: of.metric,
    threshold: of.threshold,
    tolerance: of.tolerance,
    max_tokens: of.maxTokens,
    data: of.data,
    filename: of.dataName,
    changed_at: toSeconds(of.changedAt),
  };
}

export function gateRequestOf(body: z.output<typeof gateRequest>): GateRequest {
  const { max_tokens: maxTokens, ...rest } = body;
  return { ...rest, maxTokens };
}

export function canarySettingsOf(body: z.output<typeof canaryRequest>): CanarySettings {
  return {
    shares: [body.share, ...body.steps],
    promote: body.promote,
    minRequests: body.min_requests,
    minSeconds: body.min_seconds,
    maxErrorIncrease: body.max_error_increase,
    maxErrorRate: body.max_error_rate,
    minScore: body.min_score,
    maxScoreDrop: body.max_score_drop,
    maxLatencyFactor: body.max_latency_factor,
  };
}

export function canaryOf({ canary: of, share: now, counts: counted }: CanaryReport): z.output<typeof canary> {
  const { settings } = of;
  return {
    object: 'canary',
    version: of.version,
    status: of.status,
    reason: of.reason,
    share: now,
    step: of.step,
    shares: [...settings.shares],
    promote: settings.promote,
    min_requests: settings.minRequests,
    min_seconds: settings.minSeconds,
    max_error_increase: settings.maxErrorIncrease,
    max_error_rate: settings.maxErrorRate,
    min_score: settings.minScore,
    max_score_drop: settings.maxScoreDrop,
    max_latency_factor: settings.maxLatencyFactor,
    started_at: toSeconds(of.startedAt),
    ended_at: of.endedAt === null ? null : toSeconds(of.endedAt),
    canary: countsOf(counted.canary),
    stable: countsOf(counted.stable),
  };
}

function countsOf({ requests, errors, logSeconds, scores }: ArmCounts): z.output<typeof counts> {
  return {
    requests,
    errors,
    mean_seconds: logSeconds.count === 0 ? null : Math.exp(logSeconds.sum / logSeconds.count),
    scores: scores.count,
    mean_score: scores.count === 0 ? null : scores.sum / scores.count,
  };
}

export function shadowOf(of: Shadow): z.output<typeof shadow> {
  return { object: 'shadow', ...shadowFieldsOf(of) };
}

export function shadowReportOf(of: ShadowReport): z.output<typeof shadowReport> {
  return {
    object: 'shadow_report',
    ...shadowFieldsOf(of.shadow),
    compared: of.compared,
    failed: of.failed,
    last_error: of.lastError,
    equal_share: of.equalShare,
    mean_similarity: of.meanSimilarity,
    primary: of.primary && { ...of.primary },
    shadow: of.shadowed && { ...of.shadowed },
    least_similar: of.leastSimilar.map(({ requestId, similarity }) => ({ request_id: requestId, similarity })),
  };
}

export function eventsOf(events: readonly DeliveryEvent[]): z.output<typeof deliveryEvents> {
  const data = events.map((event) => ({ object: 'delivery_event' as const, ...event, at: toSeconds(event.at) }));
  return { object: 'list', data };
}

function shadowFieldsOf(of: Shadow) {
  return {
    version: of.version,
    share: of.share,
    started_at: toSeconds(of.startedAt),
    ended_at: of.endedAt === null ? null : toSeconds(of.endedAt),
    skipped: of.skipped,
  };
}

function toSeconds(ms: number): number {
  return Math.floor(ms / 1000);
}
