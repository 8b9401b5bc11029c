import { z } from '@hono/zod-openapi';
import { fail } from '../../base/index.ts';
import type { GenerationOptions } from '../requests.ts';
import { wellFormed } from './fates.ts';
import { orNull } from './or-null.ts';
import { schedulingFields } from './scheduling-fields.ts';

const MAX_STOPS = 4;
const MAX_STOP_TOKENS = 128;

export const count = z.int().min(1).max(128);
export const tokenId = z.int().min(0);
const ids = z.string().regex(/^(0|[1-9]\d{0,8})$/, 'must be a token id');

const streamOptions = z
  .strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() })
  .openapi('StreamOptions');

/** How tokens are chosen and where an answer ends: the same for chats and texts. */
export const generationFields = {
  temperature: z.number().min(0).max(2).nullish().openapi({ description: '0 is greedy; 1 unless told.' }),
  top_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish().openapi({ description: 'The same request and seed give the same answer.' }),
  stop: z.union([wellFormed.min(1), z.array(wellFormed.min(1)).max(MAX_STOPS)]).nullish(),
  n: count.nullish(),
  stream: z.boolean().nullish(),
  stream_options: orNull(streamOptions).optional(),
  logit_bias: z
    .record(ids, z.number().min(-100).max(100))
    .nullish()
    .openapi({ description: 'Token ids and what is added to their logits.' }),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),

  top_k: z.int().min(-1).nullish().openapi({ description: 'Only the so many most probable tokens; 0 and -1 are all.' }),
  min_p: z
    .number()
    .min(0)
    .max(1)
    .nullish()
    .openapi({ description: 'Only tokens with this part of the most probable one’s probability.' }),
  repetition_penalty: z
    .number()
    .min(0.01)
    .max(100)
    .nullish()
    .openapi({ description: 'Makes tokens of prompt and answer less probable; 1 is none.' }),
  min_tokens: z
    .int()
    .min(0)
    .nullish()
    .openapi({ description: 'So many tokens come before one that ends the answer; stop strings end it before too.' }),
  ignore_eos: z.boolean().nullish().openapi({ description: 'The tokens that end a text do not end the answer.' }),
  stop_token_ids: z
    .array(tokenId)
    .max(MAX_STOP_TOKENS)
    .nullish()
    .openapi({ description: 'Tokens that end the answer, beside those that end a text.' }),
  ...schedulingFields,
};

const generationBody = z.object(generationFields);
type GenerationBody = z.output<typeof generationBody>;

/**
 * The fields above as the engine's side sees them, but for log-probabilities, which each endpoint asks for in its own way, and
 * scheduling, of which headers speak too.
 * @throws REQUEST_INVALID fields that contradict one another, or more choices than the server gives
 */
export function generationOf(
  body: GenerationBody,
  maxChoices: number,
  maxTokens: number | null,
): Omit<GenerationOptions, 'topLogprobs' | 'scheduling'> {
  const { n, stream, stream_options, stop, min_tokens, logit_bias } = body;
  if (stream_options != null && stream !== true) {
    fail('REQUEST_INVALID', 'stream_options has a meaning only with "stream": true', { param: 'stream_options' });
  }
  if (n != null && n > maxChoices) {
    fail('REQUEST_INVALID', `n must be at most ${maxChoices} on this server, got ${n}`, { param: 'n' });
  }
  if (min_tokens != null && maxTokens !== null && min_tokens > maxTokens) {
    fail('REQUEST_INVALID', `min_tokens is ${min_tokens}, and at most ${maxTokens} tokens may come`, {
      param: 'min_tokens',
    });
  }
  return {
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    topK: Math.max(0, body.top_k ?? 0),
    minP: body.min_p ?? 0,
    seed: body.seed ?? null,
    logitBias: Object.entries(logit_bias ?? {}).map(([id, bias]) => [Number(id), bias] as const),
    presencePenalty: body.presence_penalty ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    repetitionPenalty: body.repetition_penalty ?? 1,
    stop: typeof stop === 'string' ? [stop] : (stop ?? []),
    stopTokenIds: body.stop_token_ids ?? [],
    ignoreEos: body.ignore_eos ?? false,
    minTokens: min_tokens ?? 0,
    numChoices: n ?? 1,
  };
}
