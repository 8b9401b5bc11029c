import { z } from '@hono/zod-openapi';
import { fail } from '../../base/index.ts';
import { joinTextParts, type ChatMessage, type ToolCall } from '../../formats/index.ts';
import type { AnswerFormat, ChatRequest, ToolUse } from '../requests.ts';
import { answerFormatFields, answerFormatOf } from './answer-format.ts';
import { IGNORED, never, onlyList, onlyWords, SESSION, wellFormed } from './fates.ts';
import { generationFields, generationOf } from './generation-fields.ts';
import { modelFields } from './model-fields.ts';
import { orNull } from './or-null.ts';
import { schedulingOf, serviceTier } from './scheduling-fields.ts';
import { assistantToolCalls, checkToolResults, toolFields, toolUseOf } from './tools.ts';

/** The body of `POST /v1/chat/completions`. Every field of OpenAI's is here, with its fate (fates.ts). */

const MAX_TOP_LOGPROBS = 20;

const textPart = z.strictObject({ type: z.literal('text'), text: wellFormed }).openapi('ChatTextPart');
const content = z.union([wellFormed, z.array(textPart).min(1)]).openapi('ChatContent');

const inputMessage = z
  .strictObject({ role: z.enum(['system', 'developer', 'user']), content, name: never })
  .openapi('ChatInputMessage');
const assistantMessage = z
  .strictObject({
    role: z.literal('assistant'),
    content: orNull(content).optional().openapi({ description: 'May be left out beside tool_calls.' }),
    name: never,
    tool_calls: assistantToolCalls,
    // What our own answers hold, so that they can be sent back as they came.
    refusal: never,
    audio: never,
    function_call: never,
    annotations: onlyList(),
    parsed: z.unknown().optional().openapi({ description: 'Accepted; content is what counts.' }),
  })
  .openapi('ChatAssistantMessage');
const toolMessage = z
  .strictObject({
    role: z.literal('tool'),
    content,
    tool_call_id: z.string().openapi({ description: 'The call, of an earlier message, that this is the result of.' }),
    name: never,
  })
  .openapi('ChatToolMessage');
const message = z.discriminatedUnion('role', [inputMessage, assistantMessage, toolMessage]).openapi('ChatMessage');

/** A conversation as OpenAI has it. */
export const chatMessages = z.array(message).min(1);

export const chatCompletionRequest = z
  .strictObject({
    ...modelFields,
    messages: chatMessages,
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

    user: z.string().nullish().openapi({ description: SESSION }),
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

    service_tier: serviceTier,
    ...toolFields,
    functions: onlyList(),
    function_call: onlyWords(z.unknown(), ['none', 'auto']),
    ...answerFormatFields,
    reasoning_effort: onlyWords(z.string(), ['none']),
    verbosity: onlyWords(z.string(), ['medium']),
    modalities: onlyList('text'),
    audio: never,
    web_search_options: never,
  })
  .openapi('ChatCompletionRequest');

export type ChatCompletionRequest = z.output<typeof chatCompletionRequest>;

/** The checked body and its headers as the engine's side sees them. @throws REQUEST_INVALID fields that contradict one another */
export function chatRequestOf(body: ChatCompletionRequest, maxChoices: number, headers: Headers): ChatRequest {
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
  const toolUse = toolUseOf(body);
  checkForms(body, format, toolUse);
  const messages = body.messages.map(messageOf);
  checkToolResults(messages);
  return {
    ...generationOf(body, maxChoices, maxTokens),
    format,
    toolUse,
    messages,
    prediction: body.prediction ? textOf(body.prediction.content) : null,
    maxTokens,
    topLogprobs: logprobs === true ? (top_logprobs ?? 0) : null,
    scheduling: schedulingOf(body, headers),
  };
}

/** @throws REQUEST_INVALID when the answer's form contradicts another field */
function checkForms(body: ChatCompletionRequest, format: AnswerFormat | null, toolUse: ToolUse | null): void {
  const form = format?.param ?? (toolUse ? 'tools' : null);
  if (form === null) return;
  // An answer of a form ends where the form does.
  for (const [param, isSet] of [
    ['ignore_eos', body.ignore_eos === true],
    ['min_tokens', (body.min_tokens ?? 0) > 0],
  ] as const) {
    if (isSet) fail('REQUEST_INVALID', `${param} and ${form} contradict each other: send one`, { param });
  }
  if (format && toolUse && toolUse.choice !== 'auto') {
    const message = `${format.param} is about an answer of text, and tool_choice asks for calls: send one`;
    fail('REQUEST_INVALID', message, { param: format.param });
  }
}

/** A message of {@link chatMessages} as the engine's side has it. @throws REQUEST_INVALID */
export function messageOf(message: ChatCompletionRequest['messages'][number], index: number): ChatMessage {
  const { role, content: parts } = message;
  const content = textOf(parts ?? []);
  if (role === 'tool') return { role, content, tool_call_id: message.tool_call_id };
  // OpenAI's newer name for the same thing.
  if (role !== 'assistant') return { role: role === 'developer' ? 'system' : role, content };
  const calls = (message.tool_calls ?? []).map(({ id, function: { name, arguments: text } }): ToolCall => ({
    id,
    type: 'function',
    function: { name, arguments: text },
  }));
  if (parts == null && calls.length === 0) {
    const param = `messages[${index}].content`;
    fail('REQUEST_INVALID', `${param} is missing: an assistant's message has content, tool_calls or both`, { param });
  }
  return { role, content, ...(calls.length > 0 && { tool_calls: calls }) };
}

function textOf(parts: z.output<typeof content>): string {
  return typeof parts === 'string' ? parts : joinTextParts(parts.map((part) => part.text));
}
