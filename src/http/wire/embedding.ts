import { z } from '@hono/zod-openapi';
import { POOLINGS, type EmbeddingRequest } from '../requests.ts';
import { type Embeddings, type ResolvedModel } from '../services.ts';
import { SESSION } from './fates.ts';
import { modelFields } from './model-fields.ts';
import { schedulingFields, schedulingOf } from './scheduling-fields.ts';
import { inputsOf, textInputs } from './text-request.ts';

/** The body of `POST /v1/embeddings`. */
export const embeddingRequest = z
  .strictObject({
    ...modelFields,
    input: textInputs,
    encoding_format: z
      .enum(['float', 'base64'])
      .nullish()
      .openapi({ description: 'float unless told; base64 holds little-endian float32.' }),
    dimensions: z
      .int()
      .min(1)
      .nullish()
      .openapi({ description: 'Only the first so many numbers, brought to length 1 again.' }),
    pooling: z
      .enum(POOLINGS)
      .nullish()
      .openapi({ description: 'How the vectors of the tokens become one: their mean unless told, or the last.' }),
    ...schedulingFields,
    user: z.string().nullish().openapi({ description: SESSION }),
  })
  .openapi('EmbeddingRequest');

export const embeddingList = z
  .object({
    object: z.literal('list'),
    data: z.array(
      z.object({
        object: z.literal('embedding'),
        index: z.int(),
        embedding: z.union([z.array(z.number()), z.string()]),
      }),
    ),
    model: z.string(),
    usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
  })
  .openapi('EmbeddingList');

/** @throws REQUEST_INVALID an input is empty */
export function embeddingRequestOf(body: z.output<typeof embeddingRequest>, headers: Headers): EmbeddingRequest {
  return {
    inputs: inputsOf(body.input, 'input'),
    dimensions: body.dimensions ?? null,
    pooling: body.pooling ?? 'mean',
    scheduling: schedulingOf(body, headers),
  };
}

export function embeddingListOf(
  { modelName }: ResolvedModel,
  { vectors, promptTokens }: Embeddings,
  format: 'float' | 'base64',
): z.output<typeof embeddingList> {
  return {
    object: 'list',
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: format === 'base64' ? base64Of(vector) : [...vector],
    })),
    model: modelName,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  };
}

function base64Of(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * Float32Array.BYTES_PER_ELEMENT);
  for (const [n, value] of vector.entries()) bytes.writeFloatLE(value, n * Float32Array.BYTES_PER_ELEMENT);
  return bytes.toString('base64');
}
