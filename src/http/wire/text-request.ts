import { z } from '@hono/zod-openapi';
import { fail } from '../../base/index.ts';
import type { TextInput, TextRequest } from '../requests.ts';
import { never, SESSION, wellFormed } from './fates.ts';
import { count, generationFields, generationOf, tokenId } from './generation-fields.ts';
import { modelFields } from './model-fields.ts';
import { schedulingOf } from './scheduling-fields.ts';

/** The body of `POST /v1/completions`. Every field of OpenAI's is here, with its fate (fates.ts). */

const DEFAULT_MAX_TOKENS = 16;
const MAX_LOGPROBS = 5;
/** Of one request, as OpenAI's embeddings have it. */
const MAX_INPUTS = 2048;

const tokens = z.array(tokenId).min(1);
/** The description says it; {@link inputsOf} refuses an empty one in its own words. */
const text = wellFormed.openapi({ minLength: 1 });

/** One text or several, each as text or as token ids. */
export const textInputs = z
  .union([text, z.array(text).min(1).max(MAX_INPUTS), tokens, z.array(tokens).min(1).max(MAX_INPUTS)])
  .openapi('TextInputs', { description: 'Texts, or token ids, taken as they are: no chat template is applied.' });

export const completionRequest = z
  .strictObject({
    ...modelFields,
    prompt: textInputs,
    max_tokens: z
      .int()
      .min(0)
      .nullish()
      .openapi({ description: `${DEFAULT_MAX_TOKENS} unless told; 0 only with echo.` }),
    ...generationFields,
    best_of: count.nullish().openapi({
      description: 'So many answers are made, and the n with the highest log-probability per token given.',
    }),
    echo: z.boolean().nullish().openapi({ description: 'The prompt comes before the answer.' }),
    logprobs: z.int().min(0).max(MAX_LOGPROBS).nullish().openapi({
      description: 'Each token with its log-probability, and so many of the most probable tokens in its place.',
    }),
    suffix: never,
    user: z.string().nullish().openapi({ description: SESSION }),
  })
  .openapi('CompletionRequest');

export type CompletionRequest = z.output<typeof completionRequest>;

/** The checked body and its headers as the engine's side sees them. @throws REQUEST_INVALID fields that contradict one another */
export function textRequestOf(body: CompletionRequest, maxChoices: number, headers: Headers): TextRequest {
  const { best_of, logprobs, stream } = body;
  const maxTokens = body.max_tokens ?? DEFAULT_MAX_TOKENS;
  const echo = body.echo ?? false;
  const options = generationOf(body, maxChoices, maxTokens);
  const bestOf = best_of ?? options.numChoices;
  const refuse = (message: string, param: string): never => fail('REQUEST_INVALID', message, { param });
  if (maxTokens === 0 && !echo) refuse('max_tokens is 0 without echo: there would be nothing to answer', 'max_tokens');
  if (bestOf > maxChoices) refuse(`best_of must be at most ${maxChoices} on this server, got ${bestOf}`, 'best_of');
  if (bestOf < options.numChoices) refuse(`best_of is ${bestOf}, and n is ${options.numChoices}`, 'best_of');
  if (bestOf > options.numChoices && stream === true) {
    refuse('the best answers are known only at the end: best_of above n cannot be streamed', 'best_of');
  }
  const prompts = inputsOf(body.prompt, 'prompt');
  if (prompts.length * bestOf > MAX_INPUTS) {
    refuse(`${prompts.length} prompts with ${bestOf} answers each: at most ${MAX_INPUTS} in all`, 'prompt');
  }
  const scheduling = schedulingOf(body, headers);
  return { ...options, prompts, maxTokens, bestOf, echo, topLogprobs: logprobs ?? null, scheduling };
}

/** The texts of a field. @throws REQUEST_INVALID one is empty */
export function inputsOf(field: z.output<typeof textInputs>, param: string): TextInput[] {
  if (typeof field === 'string') return notEmpty([field], param);
  const items: readonly (string | number | readonly number[])[] = field;
  return notEmpty(items.every((item) => typeof item === 'number') ? [items] : items.filter(isInput), param);
}

function isInput(item: string | number | readonly number[]): item is TextInput {
  return typeof item !== 'number';
}

function notEmpty(inputs: readonly TextInput[], param: string): TextInput[] {
  const empty = inputs.findIndex((input) => input.length === 0);
  if (empty >= 0) {
    const where = inputs.length === 1 ? param : `${param}[${empty}]`;
    fail('REQUEST_INVALID', `${where} is empty: send some text`, { param: where });
  }
  return [...inputs];
}
