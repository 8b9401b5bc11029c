import { z } from '@hono/zod-openapi';
import { assert } from '../../base/index.ts';
import type { AnswerDelta, FinishReason } from '../services.ts';
import type { AnswerShape } from '../shape.ts';
import { finishReason, headFields, type AnswerHead } from './answer-head.ts';
import { textLogprobs, textLogprobsOf } from './logprobs.ts';
import { chunkUsage, usage, usageOf } from './usage.ts';

const choiceFields = { index: z.int(), text: z.string(), logprobs: textLogprobs };
const choice = z.object({ ...choiceFields, finish_reason: finishReason }).openapi('TextChoice');
const chunkChoice = z.object({ ...choiceFields, finish_reason: finishReason.nullable() }).openapi('TextChunkChoice');

export const textCompletion = z
  .object({
    ...headFields,
    object: z.literal('text_completion'),
    choices: z.array(choice),
    usage,
  })
  .openapi('Completion');

export const textCompletionChunk = z
  .object({
    ...headFields,
    object: z.literal('text_completion'),
    choices: z.array(chunkChoice),
    usage: chunkUsage,
  })
  .openapi('CompletionChunk');

export type TextCompletion = z.output<typeof textCompletion>;
export type TextCompletionChunk = z.output<typeof textCompletionChunk>;

/** A text's continuation on the wire: chunks have the form of the whole. */
export function textShape(answer: AnswerHead): AnswerShape {
  const chunk = ({ index, text, tokens, finishReason: reason }: AnswerDelta): TextCompletionChunk => ({
    ...answer,
    object: 'text_completion',
    choices: [{ index, text, logprobs: textLogprobsOf(tokens), finish_reason: reason ? reasonOf(reason) : null }],
  });
  return {
    opening: () => [],
    chunksOf: (delta) => (delta.text !== '' || delta.tokens?.length || delta.finishReason ? [chunk(delta)] : []),
    usageChunk: (used): TextCompletionChunk => ({
      ...answer,
      object: 'text_completion',
      choices: [],
      usage: usageOf(used),
    }),
    whole: (choices, used): TextCompletion => ({
      ...answer,
      object: 'text_completion',
      choices: choices.map(({ text, tokens, finishReason: reason }, index) => ({
        index,
        text,
        logprobs: textLogprobsOf(tokens),
        finish_reason: reasonOf(reason),
      })),
      usage: usageOf(used),
    }),
  };
}

function reasonOf(reason: FinishReason): z.output<typeof finishReason> {
  assert(reason !== 'tool_calls', 'a text has no tools');
  return reason;
}
