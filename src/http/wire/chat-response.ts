import { z } from '@hono/zod-openapi';
import type { ChatUsage, FinishReason, ResolvedModel } from '../services.ts';

const finishReason = z.enum(['stop', 'length']);

const usage = z
  .object({
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    total_tokens: z.int(),
    prompt_tokens_details: z.object({ cached_tokens: z.int() }),
  })
  .openapi('CompletionUsage');

/** What a completion and each of its chunks begin with. */
const head = {
  id: z.string(),
  created: z.int().openapi({ description: 'Seconds since 1970.' }),
  model: z.string(),
  system_fingerprint: z
    .string()
    .openapi({ description: 'Digest of the adapter version that answered, or of the base.' }),
  service_tier: z.literal('default'),
};

export const chatCompletion = z
  .object({
    ...head,
    object: z.literal('chat.completion'),
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
        logprobs: z.null(),
        finish_reason: finishReason,
      }),
    ),
    usage,
  })
  .openapi('ChatCompletion');

export const chatCompletionChunk = z
  .object({
    ...head,
    object: z.literal('chat.completion.chunk'),
    choices: z.array(
      z.object({
        index: z.int(),
        delta: z.object({ role: z.literal('assistant').optional(), content: z.string().optional() }),
        logprobs: z.null(),
        finish_reason: finishReason.nullable(),
      }),
    ),
    usage: usage.optional(),
  })
  .openapi('ChatCompletionChunk');

export type ChatCompletion = z.output<typeof chatCompletion>;
export type ChatCompletionChunk = z.output<typeof chatCompletionChunk>;
export type ChunkDelta = ChatCompletionChunk['choices'][number]['delta'];

/** The constant part of one answer. */
export interface AnswerHead {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
  readonly service_tier: 'default';
}

export function answerHead(id: string, created: number, model: ResolvedModel): AnswerHead {
  return {
    id,
    created,
    model: model.modelName,
    system_fingerprint: model.adapter?.digest ?? model.base.digest,
    service_tier: 'default',
  };
}

/** One choice, complete. */
export interface Answer {
  readonly text: string;
  readonly finishReason: FinishReason;
}

export function completionOf(answer: AnswerHead, choices: readonly Answer[], used: ChatUsage): ChatCompletion {
  return {
    ...answer,
    object: 'chat.completion',
    choices: choices.map(({ text, finishReason: reason }, index) => ({
      index,
      message: { role: 'assistant', content: text, refusal: null },
      logprobs: null,
      finish_reason: reason,
    })),
    usage: usageOf(used),
  };
}

export function chunkOf(
  answer: AnswerHead,
  index: number,
  delta: ChunkDelta,
  reason: FinishReason | null = null,
): ChatCompletionChunk {
  return {
    ...answer,
    object: 'chat.completion.chunk',
    choices: [{ index, delta, logprobs: null, finish_reason: reason }],
  };
}

/** The last chunk of a stream with `include_usage`: no choices, only figures. */
export function usageChunkOf(answer: AnswerHead, used: ChatUsage): ChatCompletionChunk {
  return { ...answer, object: 'chat.completion.chunk', choices: [], usage: usageOf(used) };
}

function usageOf({ promptTokens, completionTokens, cachedTokens }: ChatUsage): ChatCompletion['usage'] {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}
