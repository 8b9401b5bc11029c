import { z } from '@hono/zod-openapi';
import { fail, newId } from '../../base/index.ts';
import type { ClassifyRequest } from '../requests.ts';
import type { Classifications, ResolvedModel } from '../services.ts';
import { chatMessages, messageOf } from './chat-request.ts';
import { SESSION } from './fates.ts';
import { modelFields } from './model-fields.ts';
import { schedulingFields, schedulingOf } from './scheduling-fields.ts';
import { inputsOf, textInputs } from './text-request.ts';

/** The body of `POST /v1/classify`, as vLLM has it. */
export const classificationRequest = z
  .strictObject({
    ...modelFields,
    input: textInputs.nullish().openapi({
      description:
        'What is to be classified, read as it is; a text is a user’s message where the adapter was trained on messages. Either this or messages.',
    }),
    messages: chatMessages.nullish().openapi({
      description: 'A conversation to classify, by the chat template: not for adapters that were trained on texts.',
    }),
    ...schedulingFields,
    user: z.string().nullish().openapi({ description: SESSION }),
  })
  .openapi('ClassificationRequest');

export const classificationList = z
  .object({
    id: z.string(),
    object: z.literal('list'),
    created: z.int(),
    model: z.string(),
    data: z.array(
      z.object({
        index: z.int(),
        label: z.string().openapi({ description: 'The most probable one.' }),
        probs: z.array(z.number()).openapi({ description: 'Of every label, in the order of the adapter’s.' }),
        num_classes: z.int(),
      }),
    ),
    usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int(), completion_tokens: z.literal(0) }),
  })
  .openapi('ClassificationList');

/** @throws REQUEST_INVALID both kinds of input, none, or an empty one */
export function classifyRequestOf(body: z.output<typeof classificationRequest>, headers: Headers): ClassifyRequest {
  const { input, messages } = body;
  const scheduling = schedulingOf(body, headers);
  if ((input == null) === (messages == null)) {
    const message =
      input == null
        ? 'input is missing: send input (texts that are read as they are) or messages (by the chat template)'
        : 'input and messages contradict each other: send one';
    fail('REQUEST_INVALID', message, { param: 'input' });
  }
  return messages == null
    ? { inputs: inputsOf(input ?? '', 'input'), scheduling }
    : { inputs: [{ messages: messages.map(messageOf) }], scheduling };
}

export function classificationListOf(
  { modelName }: ResolvedModel,
  { found, promptTokens }: Classifications,
  created: number,
): z.output<typeof classificationList> {
  return {
    id: newId('classify-'),
    object: 'list',
    created,
    model: modelName,
    data: found.map(({ label, probs }, index) => ({ index, label, probs: [...probs], num_classes: probs.length })),
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens, completion_tokens: 0 },
  };
}
