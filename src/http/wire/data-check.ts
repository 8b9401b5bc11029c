import { z } from '@hono/zod-openapi';
import type { DataCheck } from '../tuning-services.ts';
import { createJobRequest } from './fine-tuning.ts';
import { orNull } from './or-null.ts';
import { peftObject, peftOf } from './peft.ts';

const MAX_PREVIEW = 20;
const count = z.int().min(0);

/** What a job would be asked, without its making. */
export const dataCheckRequest = z
  .strictObject({
    file: z.string().openapi({ description: 'An uploaded file.' }),
    model: createJobRequest.shape.model,
    method: createJobRequest.shape.method,
    peft: createJobRequest.shape.peft,
    preview: z.int().min(0).max(MAX_PREVIEW).default(5).openapi({ description: 'Examples to show.' }),
  })
  .openapi('DataCheckRequest');

const problem = z
  .object({
    line: count.nullable().openapi({ description: 'In the file; null: of the file as a whole.' }),
    message: z.string(),
  })
  .openapi('DataProblem');

const found = z
  .object({
    form: z.string().openapi({ description: 'chat, completion, preference, rated or labelled.' }),
    examples: count,
    tokens: count,
    learned_tokens: count.openapi({
      description: 'The tokens that are learned from; of labelled examples the labels.',
    }),
    context_length: count.openapi({ description: 'The longest example that the base takes, in tokens.' }),
    lengths: z.object({ p50: count, p95: count, max: count }).openapi({ description: 'Tokens of an example.' }),
    labels: z
      .array(z.object({ label: z.string(), examples: count }))
      .optional()
      .openapi({ description: 'Of labelled examples: how many have each label.' }),
    preview: z.array(
      z.object({
        line: count,
        spans: z.array(
          z.object({ text: z.string(), weight: z.number().openapi({ description: '0: given, not learned.' }) }),
        ),
      }),
    ),
  })
  .openapi('DataSummary');

const estimate = z
  .object({
    batch_size: count,
    n_epochs: count,
    learning_rate_multiplier: z.number(),
    beta: orNull(z.number()),
    peft: peftObject,
    steps: count,
    trained_tokens: count,
    trainable_parameters: count,
    adapter_bytes: count,
    memory_bytes: count,
    seconds: z.number().openapi({ description: 'By the plan, before anything of the job is measured.' }),
    calibrated: z.boolean().openapi({ description: 'The plan goes by what this machine was measured to do.' }),
  })
  .openapi('JobEstimate');

export const dataCheck = z
  .object({
    object: z.literal('data_check'),
    file: z.string(),
    problems: z
      .array(problem)
      .openapi({ description: 'Every line that is wrong, at most 1000; empty: it can be trained on.' }),
    warnings: z.array(problem),
    data: orNull(found).openapi({ description: 'null where there are problems, as below.' }),
    estimate: orNull(estimate),
  })
  .openapi('DataCheck');

export function dataCheckOf(
  file: string,
  { problems, warnings, data, estimate: run }: DataCheck,
): z.output<typeof dataCheck> {
  return {
    object: 'data_check',
    file,
    problems: problems.map((one) => ({ ...one })),
    warnings: warnings.map((one) => ({ ...one })),
    data: data && {
      form: data.form,
      examples: data.examples,
      tokens: data.tokens,
      learned_tokens: data.learnedTokens,
      context_length: data.contextLength,
      lengths: { ...data.lengths },
      ...(data.labels && { labels: data.labels.map((one) => ({ ...one })) }),
      preview: data.preview.map(({ line, spans }) => ({ line, spans: spans.map((span) => ({ ...span })) })),
    },
    estimate: run && {
      batch_size: run.batchSize,
      n_epochs: run.numEpochs,
      learning_rate_multiplier: run.learningRateMultiplier,
      beta: run.beta,
      peft: peftOf(run.peft),
      steps: run.steps,
      trained_tokens: run.trainedTokens,
      trainable_parameters: run.trainableParameters,
      adapter_bytes: run.adapterBytes,
      memory_bytes: run.memoryBytes,
      seconds: run.seconds,
      calibrated: run.calibrated,
    },
  };
}
