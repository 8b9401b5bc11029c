import { z } from '@hono/zod-openapi';
import { fail, isName } from '../../base/index.ts';
import type { ChatMessage, ChatRequest } from '../services.ts';

/**
 * The body of `POST /v1/chat/completions`. Every field of OpenAI's is here and has one of three fates: it is obeyed; it cannot
 * change the answer and is accepted; or it would, we do not have it yet, and all but its neutral value is refused by name. A field
 * that is not here is refused too.
 */

const text = z
  .string()
  .refine((value) => value.isWellFormed(), 'holds half of a surrogate pair: send well-formed Unicode');
const content = z.union([text, z.array(z.strictObject({ type: z.literal('text'), text })).min(1)]);

const NOT_YET = 'is not supported here yet: leave it out';

/** A field that would change the answer: only the values that ask for what happens anyway. */
function unsupported<Schema extends z.ZodType>(
  schema: Schema,
  isNeutral: (value: z.output<Schema>) => boolean,
  neutral: string,
) {
  return schema
    .refine(isNeutral, `${NOT_YET}, or send ${neutral}`)
    .nullish()
    .openapi({ description: `Only ${neutral} or null.` });
}

const never = z
  .unknown()
  .refine((value) => value === null, NOT_YET)
  .nullish()
  .openapi({ type: 'null', description: 'Only null.' });
const isEmpty = (items: readonly unknown[]): boolean => items.length === 0;
const isZero = (value: number): boolean => value === 0;

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

const ignored = 'Accepted; it cannot change the answer.';

export const chatCompletionRequest = z
  .strictObject({
    model: z
      .string()
      .min(1)
      .max(512)
      .openapi({ description: 'TENANT/TASK, TENANT/TASK@VERSION, sha256:…, or the base.' }),
    messages: z.array(message).min(1),
    max_completion_tokens: z.int().min(1).nullish(),
    max_tokens: z.int().min(1).nullish().openapi({ description: 'The older name of max_completion_tokens.' }),
    temperature: z.number().min(0).max(2).nullish().openapi({ description: '0 is greedy; 1 unless told.' }),
    top_p: z.number().min(0).max(1).nullish(),
    seed: z.int().nullish().openapi({ description: 'The same request and seed give the same answer.' }),
    stop: z.union([text.min(1), z.array(text.min(1)).max(4)]).nullish(),
    n: z.int().min(1).max(128).nullish(),
    stream: z.boolean().nullish(),
    stream_options: z
      .strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() })
      .nullish(),
    metadata: z
      .record(z.string().max(64), z.string().max(512))
      .nullish()
      .openapi({ description: 'metadata.task picks the adapter by the routes of the tenant, when model is the base.' }),

    user: z.string().nullish().openapi({ description: ignored }),
    safety_identifier: z.string().nullish().openapi({ description: ignored }),
    store: z.boolean().nullish().openapi({ description: ignored }),
    prompt_cache_key: z.string().nullish().openapi({ description: ignored }),
    prompt_cache_retention: z.string().nullish().openapi({ description: ignored }),
    parallel_tool_calls: z.boolean().nullish().openapi({ description: ignored }),

    service_tier: unsupported(z.string(), (tier) => tier === 'auto' || tier === 'default', '"auto" or "default"'),
    tools: unsupported(z.array(z.unknown()), isEmpty, '[]'),
    tool_choice: unsupported(z.unknown(), (choice) => choice === 'none' || choice === 'auto', '"none" or "auto"'),
    functions: unsupported(z.array(z.unknown()), isEmpty, '[]'),
    function_call: unsupported(z.unknown(), (call) => call === 'none' || call === 'auto', '"none" or "auto"'),
    response_format: unsupported(z.looseObject({ type: z.string() }), ({ type }) => type === 'text', '{"type":"text"}'),
    logit_bias: unsupported(z.record(z.string(), z.unknown()), (bias) => isEmpty(Object.keys(bias)), '{}'),
    logprobs: unsupported(z.boolean(), (value) => !value, 'false'),
    top_logprobs: unsupported(z.number(), isZero, '0'),
    presence_penalty: unsupported(z.number(), isZero, '0'),
    frequency_penalty: unsupported(z.number(), isZero, '0'),
    reasoning_effort: unsupported(z.string(), (effort) => effort === 'none', '"none"'),
    verbosity: unsupported(z.string(), (verbosity) => verbosity === 'medium', '"medium"'),
    modalities: unsupported(z.array(z.string()), (kinds) => kinds.length === 1 && kinds[0] === 'text', '["text"]'),
    prediction: never,
    audio: never,
    web_search_options: never,
  })
  .openapi('ChatCompletionRequest');

export type ChatCompletionRequest = z.output<typeof chatCompletionRequest>;

/** The checked body as the engine's side sees it. @throws REQUEST_INVALID fields that contradict one another */
export function chatRequestOf(body: ChatCompletionRequest, maxChoices: number): ChatRequest {
  const { max_completion_tokens, max_tokens, n, stream, stream_options, stop } = body;
  if (max_completion_tokens != null && max_tokens != null && max_completion_tokens !== max_tokens) {
    fail(
      'REQUEST_INVALID',
      `max_tokens is ${max_tokens} and max_completion_tokens is ${max_completion_tokens}: send one`,
      {
        param: 'max_tokens',
      },
    );
  }
  if (stream_options != null && stream !== true) {
    fail('REQUEST_INVALID', 'stream_options has a meaning only with "stream": true', { param: 'stream_options' });
  }
  if (n != null && n > maxChoices) {
    fail('REQUEST_INVALID', `n must be at most ${maxChoices} on this server, got ${n}`, { param: 'n' });
  }
  return {
    messages: body.messages.map(messageOf),
    maxTokens: max_completion_tokens ?? max_tokens ?? null,
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    seed: body.seed ?? null,
    stop: typeof stop === 'string' ? [stop] : (stop ?? []),
    numChoices: n ?? 1,
  };
}

/** The task that `metadata.task` or the header `X-Task` names. @throws REQUEST_INVALID they differ, or it is no name */
export function taskOf(body: ChatCompletionRequest, header: string | null): string | null {
  const inBody = body.metadata?.['task'] ?? null;
  if (inBody !== null && header !== null && inBody !== header) {
    fail('REQUEST_INVALID', `metadata.task is "${inBody}" and X-Task is "${header}": send one`, {
      param: 'metadata.task',
    });
  }
  const task = inBody ?? header;
  if (task !== null && !isName(task)) {
    const param = inBody === null ? 'X-Task' : 'metadata.task';
    fail('REQUEST_INVALID', `${param} must be a task's name, got "${task}"`, { param });
  }
  return task;
}

function messageOf({ role, content: parts }: ChatCompletionRequest['messages'][number]): ChatMessage {
  return {
    // OpenAI's newer name for the same thing.
    role: role === 'developer' ? 'system' : role,
    content: typeof parts === 'string' ? parts : parts.map((part) => part.text).join('\n'),
  };
}
