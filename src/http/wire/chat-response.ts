import { z } from '@hono/zod-openapi';
import type { AnswerDelta, FinishReason, ToolCallDelta, Usage } from '../services.ts';
import type { AnswerShape, WholeCall, WholeChoice } from '../shape.ts';
import { chatFinishReason, headFields, type AnswerHead } from './answer-head.ts';
import { chatLogprobs, chatLogprobsOf } from './logprobs.ts';
import { chunkUsage, usage, usageOf } from './usage.ts';

/** Of a message; of a chunk the first piece of a call has everything, the others only parts of the arguments. */
const toolCall = z
  .object({
    id: z.string(),
    type: z.literal('function'),
    function: z.object({ name: z.string(), arguments: z.string().openapi({ description: 'JSON as text.' }) }),
  })
  .openapi('ChatToolCall');
const toolCallPiece = z
  .object({
    index: z.int(),
    id: z.string().optional(),
    type: z.literal('function').optional(),
    function: z.object({ name: z.string().optional(), arguments: z.string() }),
  })
  .openapi('ChatToolCallPiece');

const servedTier = z.enum(['default', 'flex', 'priority']);
type ServedTier = z.output<typeof servedTier>;

const head = { ...headFields, service_tier: servedTier };

const answerMessage = z
  .object({
    role: z.literal('assistant'),
    content: z.string().nullable().openapi({ description: 'Null: calls and no text.' }),
    refusal: z.null(),
    tool_calls: z.array(toolCall).min(1).optional(),
  })
  .openapi('ChatAnswerMessage');
const choice = z
  .object({ index: z.int(), message: answerMessage, logprobs: chatLogprobs, finish_reason: chatFinishReason })
  .openapi('ChatChoice');

export const chatCompletion = z
  .object({
    ...head,
    object: z.literal('chat.completion'),
    choices: z.array(choice),
    usage,
  })
  .openapi('ChatCompletion');

const delta = z
  .object({
    role: z.literal('assistant').optional(),
    content: z.string().nullable().optional(),
    tool_calls: z.array(toolCallPiece).optional(),
  })
  .openapi('ChatDelta');
const chunkChoice = z
  .object({ index: z.int(), delta, logprobs: chatLogprobs, finish_reason: chatFinishReason.nullable() })
  .openapi('ChatChunkChoice');

export const chatCompletionChunk = z
  .object({
    ...head,
    object: z.literal('chat.completion.chunk'),
    choices: z.array(chunkChoice),
    usage: chunkUsage,
  })
  .openapi('ChatCompletionChunk');

export type ChatCompletion = z.output<typeof chatCompletion>;
export type ChatCompletionChunk = z.output<typeof chatCompletionChunk>;
type ChunkDelta = z.output<typeof delta>;

/** What a chat's answer tells of its request. */
interface ChatTerms {
  readonly tier: ServedTier;
  /** Tools may be called: then a stream does not begin with text, of which there may be none. */
  readonly canCall: boolean;
}

/** A chat's answer on the wire. */
export function chatShape(answer: AnswerHead, numChoices: number, { tier, canCall }: ChatTerms): AnswerShape {
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
    opening: () =>
      Array.from({ length: numChoices }, (_, index) =>
        chunk(index, { role: 'assistant', content: canCall ? null : '' }),
      ),
    chunksOf({ index, text, toolCalls = [], tokens = [], finishReason: reason }) {
      const told = tokens.length > 0 ? tokens : undefined;
      // Log-probabilities come once, with the text if there is some.
      const isText = text !== '' || (told !== undefined && toolCalls.length === 0);
      return [
        ...(isText ? [chunk(index, text === '' && canCall ? {} : { content: text }, null, told)] : []),
        ...toolCalls.map((call, n) =>
          chunk(index, { tool_calls: [pieceOf(call)] }, null, isText || n > 0 ? undefined : told),
        ),
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
    choices: choices.map(({ text, toolCalls, tokens, finishReason: reason }, index) => ({
      index,
      message: {
        role: 'assistant',
        content: text === '' && toolCalls.length > 0 ? null : text,
        refusal: null,
        ...(toolCalls.length > 0 && { tool_calls: toolCalls.map(callOf) }),
      },
      logprobs: chatLogprobsOf(tokens),
      finish_reason: reason,
    })),
    usage: usageOf(used),
  };
}

function callOf({ id, name, argumentsText }: WholeCall): z.output<typeof toolCall> {
  return { id, type: 'function', function: { name, arguments: argumentsText } };
}

function pieceOf({ index, begin, argumentsText }: ToolCallDelta): z.output<typeof toolCallPiece> {
  if (!begin) return { index, function: { arguments: argumentsText } };
  return { index, id: begin.id, type: 'function', function: { name: begin.name, arguments: argumentsText } };
}
