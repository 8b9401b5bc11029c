import { z } from '@hono/zod-openapi';
import type { AnswerDelta, FinishReason, Usage } from '../services.ts';
import type { AnswerShape, WholeChoice } from '../shape.ts';
import { finishReason, headFields, type AnswerHead } from './answer-head.ts';
import { chatLogprobs, chatLogprobsOf } from './logprobs.ts';
import { usage, usageOf } from './usage.ts';

const servedTier = z.enum(['default', 'flex', 'priority']);
type ServedTier = z.output<typeof servedTier>;

const head = { ...headFields, service_tier: servedTier };

export const chatCompletion = z
  .object({
    ...head,
    object: z.literal('chat.completion'),
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
        logprobs: chatLogprobs,
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
        logprobs: chatLogprobs,
        finish_reason: finishReason.nullable(),
      }),
    ),
    usage: usage.optional(),
  })
  .openapi('ChatCompletionChunk');

export type ChatCompletion = z.output<typeof chatCompletion>;
export type ChatCompletionChunk = z.output<typeof chatCompletionChunk>;
type ChunkDelta = ChatCompletionChunk['choices'][number]['delta'];

/** A chat's answer on the wire. */
export function chatShape(answer: AnswerHead, numChoices: number, tier: ServedTier): AnswerShape {
  const chunk = (
    index: number,
    delta: ChunkDelta,
    reason: FinishReason | null = null,
    tokens?: AnswerDelta['tokens'],
  ): ChatCompletionChunk => ({
    ...answer,
    service_tier: tier,
    object: 'chat.completion.chunk',
    choices: [{ index, delta, logprobs: chatLogprobsOf(tokens), finish_reason: reason }],
  });
  return {
    opening: () => Array.from({ length: numChoices }, (_, index) => chunk(index, { role: 'assistant', content: '' })),
    chunksOf({ index, text, tokens = [], finishReason: reason }) {
      const hasContent = text !== '' || tokens.length > 0;
      return [
        ...(hasContent ? [chunk(index, { content: text }, null, tokens.length > 0 ? tokens : undefined)] : []),
        ...(reason ? [chunk(index, {}, reason)] : []),
      ];
    },
    usageChunk: (used): ChatCompletionChunk => ({
      ...answer,
      service_tier: tier,
      object: 'chat.completion.chunk',
      choices: [],
      usage: usageOf(used),
    }),
    whole: (choices, used) => chatCompletionOf(answer, tier, choices, used),
  };
}

function chatCompletionOf(
  answer: AnswerHead,
  tier: ServedTier,
  choices: readonly WholeChoice[],
  used: Usage,
): ChatCompletion {
  return {
    ...answer,
    service_tier: tier,
    object: 'chat.completion',
    choices: choices.map(({ text, tokens, finishReason: reason }, index) => ({
      index,
      message: { role: 'assistant', content: text, refusal: null },
      logprobs: chatLogprobsOf(tokens),
      finish_reason: reason,
    })),
    usage: usageOf(used),
  };
}
