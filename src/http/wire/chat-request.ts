import { z } from '@hono/zod-openapi';
import { fail } from '../../base/index.ts';
import type { ChatMessage, ChatRequest } from '../services.ts';
import { answerFormatFields, answerFormatOf } from './answer-format.ts';
import { IGNORED, isEmpty, never, unsupported, wellFormed } from './fates.ts';
import { generationFields, generationOf } from './generation-fields.ts';
import { modelFields } from './model-fields.ts';

/** The body of `POST /v1/chat/completions`. Every field of OpenAI's is here, with its fate (fates.ts). */

const MAX_TOP_LOGPROBS = 20;

const content = z.union([wellFormed, z.array(z.strictObject({ type: z.literal('text'), text: wellFormed })).min(1)]);

const message = z.discriminatedUnion('role', [
  z.strictObject({ role: z.enum(['system', 'developer', 'user']), content, name: never }),
  z.strictObject({
    role: z.literal('assistant'),
    content,
    name: never,
    // What our own answers hold, so that they can be sent back as they came.
    refusal: never,
    audio: never,
    function_call: never,
    tool_calls: unsupported(z.array(z.unknown()), isEmpty, '[]'),
    annotations: unsupported(z.array(z.unknown()), isEmpty, '[]'),
  }),
]);

export const chatCompletionRequest = z
  .strictObject({
    ...modelFields,
    messages: z.array(message).min(1),
    max_completion_tokens: z.int().min(1).nullish(),
    max_tokens: z.int().min(1).nullish().openapi({ description: 'The older name of max_completion_tokens.' }),
    ...generationFields,
    logprobs: z.boolean().nullish().openapi({ description: 'Each token of the answer with its log-probability.' }),
    top_logprobs: z
      .int()
      .min(0)
      .max(MAX_TOP_LOGPROBS)
      .nullish()
      .openapi({ description: 'With logprobs: so many of the most probable tokens in each one’s place.' }),

    user: z.string().nullish().openapi({ description: IGNORED }),
    safety_identifier: z.string().nullish().openapi({ description: IGNORED }),
    store: z.boolean().nullish().openapi({ description: IGNORED }),
    prompt_cache_key: z.string().nullish().openapi({ description: IGNORED }),
    prompt_cache_retention: z.string().nullish().openapi({ description: IGNORED }),
    prediction: z
      .strictObject({ type: z.literal('content'), content })
      .nullish()
      .openapi({
        description: 'What the answer may be: where it is right the answer comes faster. It never changes it.',
      }),
    parallel_tool_calls: z.boolean().nullish().openapi({ description: IGNORED }),

    service_tier: unsupported(z.string(), (tier) => tier === 'auto' || tier === 'default', '"auto" or "default"'),
    tools: unsupported(z.array(z.unknown()), isEmpty, '[]'),
    tool_choice: unsupported(z.unknown(), (choice) => choice === 'none' || choice === 'auto', '"none" or "auto"'),
    functions: unsupported(z.array(z.unknown()), isEmpty, '[]'),
    function_call: unsupported(z.unknown(), (call) => call === 'none' || call === 'auto', '"none" or "auto"'),
    ...answerFormatFields,
    reasoning_effort: unsupported(z.string(), (effort) => effort === 'none', '"none"'),
    verbosity: unsupported(z.string(), (verbosity) => verbosity === 'medium', '"medium"'),
    modalities: unsupported(z.array(z.string()), (kinds) => kinds.length === 1 && kinds[0] === 'text', '["text"]'),
    audio: never,
    web_search_options: never,
  })
  .openapi('ChatCompletionRequest');

export type ChatCompletionRequest = z.output<typeof chatCompletionRequest>;

/** The checked body as the engine's side sees it. @throws REQUEST_INVALID fields that contradict one another */
export function chatRequestOf(body: ChatCompletionRequest, maxChoices: number): ChatRequest {
  const { max_completion_tokens, max_tokens, logprobs, top_logprobs } = body;
  if (max_completion_tokens != null && max_tokens != null && max_completion_tokens !== max_tokens) {
    fail(
      'REQUEST_INVALID',
      `max_tokens is ${max_tokens} and max_completion_tokens is ${max_completion_tokens}: send one`,
      {
        param: 'max_tokens',
      },
    );
  }
  if (top_logprobs != null && top_logprobs > 0 && logprobs !== true) {
    fail('REQUEST_INVALID', 'top_logprobs has a meaning only with "logprobs": true', { param: 'top_logprobs' });
  }
  const maxTokens = max_completion_tokens ?? max_tokens ?? null;
  const format = answerFormatOf(body);
  // An answer of a form ends where the form does.
  for (const [param, isSet] of [
    ['ignore_eos', body.ignore_eos === true],
    ['min_tokens', (body.min_tokens ?? 0) > 0],
  ] as const) {
    if (format && isSet) {
      fail('REQUEST_INVALID', `${param} and ${format.param} contradict each other: send one`, { param });
    }
  }
  return {
    ...generationOf(body, maxChoices, maxTokens),
    format,
    messages: body.messages.map(messageOf),
    prediction: body.prediction ? textOf(body.prediction.content) : null,
    maxTokens,
    topLogprobs: logprobs === true ? (top_logprobs ?? 0) : null,
  };
}

function messageOf({ role, content: parts }: ChatCompletionRequest['messages'][number]): ChatMessage {
  return {
    // OpenAI's newer name for the same thing.
    role: role === 'developer' ? 'system' : role,
    content: textOf(parts),
  };
}

function textOf(parts: z.output<typeof content>): string {
  return typeof parts === 'string' ? parts : parts.map((part) => part.text).join('\n');
}
