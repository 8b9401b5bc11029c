import { z } from '@hono/zod-openapi';
import type {
  CheckpointMetrics,
  Job,
  JobCheckpoint,
  JobEvent,
  JobMethod,
  RequestedHyperparameters,
} from '../../jobs/index.ts';
import type { JobRequest } from '../tuning-services.ts';
import { secondsOf } from './files.ts';
import { nameField } from './name.ts';
import { list } from './page.ts';
import { orNull } from './or-null.ts';
import { peftObject, peftOf, peftRequest, peftRequestOf } from './peft.ts';

const MAX_SEED = 2_147_483_647;
const MAX_METADATA = 16;

const auto = (number: z.ZodNumber) => z.union([z.literal('auto'), number]).optional();
const hyperparameterFields = {
  batch_size: auto(z.int().min(1).max(256)),
  learning_rate_multiplier: auto(z.number().gt(0)),
  n_epochs: auto(z.int().min(1).max(50)),
};
const supervisedHyperparameters = z.strictObject(hyperparameterFields).openapi('FineTuneSupervisedHyperparameters');
const dpoHyperparameters = z
  .strictObject({ ...hyperparameterFields, beta: auto(z.number().gt(0).max(2)) })
  .openapi('FineTuneDPOHyperparameters');

const method = z
  .discriminatedUnion('type', [
    z
      .strictObject({
        type: z.literal('supervised'),
        supervised: z.strictObject({ hyperparameters: supervisedHyperparameters.optional() }).optional(),
      })
      .openapi('FineTuneSupervisedMethod'),
    z
      .strictObject({
        type: z.literal('dpo'),
        dpo: z.strictObject({ hyperparameters: dpoHyperparameters.optional() }).optional(),
      })
      .openapi('FineTuneDPOMethod'),
    z
      .strictObject({
        type: z.literal('classification'),
        classification: z.strictObject({ hyperparameters: supervisedHyperparameters.optional() }).optional(),
      })
      .openapi('FineTuneClassificationMethod', {
        description: 'Ours: labelled texts or conversations; the labels are those of the training file.',
      }),
  ])
  .openapi('FineTuneMethod');

const metadata = z
  .record(z.string().max(64), z.string().max(512))
  .refine((entries) => Object.keys(entries).length <= MAX_METADATA, `must have at most ${MAX_METADATA} keys`);

/** OpenAI's request, field for field, and `peft` and the method `classification`. */
export const createJobRequest = z
  .strictObject({
    model: z.string().openapi({ description: 'The base of this server.' }),
    training_file: z.string(),
    validation_file: z.string().nullish(),
    hyperparameters: supervisedHyperparameters.optional().openapi({ description: 'Older form of method.' }),
    method: method.optional(),
    peft: orNull(peftRequest).optional().openapi({ description: 'Ours: how the adapter is made.' }),
    suffix: nameField
      .nullish()
      .openapi({ description: 'A part of the new model’s name, and the task under which it is published.' }),
    seed: z.int().min(0).max(MAX_SEED).nullish(),
    metadata: metadata.nullish(),
    integrations: z
      .array(z.unknown())
      .refine((asked) => asked.length === 0, 'is not supported: leave it out')
      .nullish()
      .openapi({ type: 'array', items: {}, maxItems: 0, description: 'Only null or empty.' }),
  })
  .openapi('CreateFineTuningJobRequest');

/** @returns the request, or the fields that contradict each other */
export function jobRequestOf(body: z.output<typeof createJobRequest>): JobRequest | { readonly problem: string } {
  if (body.method && body.hyperparameters) return { problem: 'hyperparameters is the older form of method: give one' };
  const type: JobMethod = body.method?.type ?? 'supervised';
  const ofDpo = body.method?.type === 'dpo' ? body.method.dpo?.hyperparameters : undefined;
  const given = methodHyperparameters(body.method) ?? body.hyperparameters;
  const hyperparameters: RequestedHyperparameters = {
    batchSize: given?.batch_size ?? 'auto',
    learningRateMultiplier: given?.learning_rate_multiplier ?? 'auto',
    numEpochs: given?.n_epochs ?? 'auto',
    beta: ofDpo?.beta ?? 'auto',
  };
  return {
    model: body.model,
    method: type,
    hyperparameters,
    peft: peftRequestOf(body.peft),
    trainingFile: body.training_file,
    validationFile: body.validation_file ?? null,
    suffix: body.suffix ?? null,
    seed: body.seed ?? null,
    metadata: body.metadata ?? {},
  };
}

function methodHyperparameters(asked: z.output<typeof method> | undefined) {
  switch (asked?.type) {
    case 'dpo':
      return asked.dpo?.hyperparameters;
    case 'classification':
      return asked.classification?.hyperparameters;
    default:
      return asked?.supervised?.hyperparameters;
  }
}

const number = z.union([z.literal('auto'), z.number()]);
const hyperparameters = z
  .object({ batch_size: number, learning_rate_multiplier: number, n_epochs: number, beta: number.optional() })
  .openapi('FineTuningJobHyperparameters');

export const jobObject = z
  .object({
    id: z.string(),
    object: z.literal('fine_tuning.job'),
    created_at: z.int(),
    finished_at: z.int().nullable(),
    estimated_finish: z.int().nullable(),
    model: z.string(),
    fine_tuned_model: z.string().nullable(),
    organization_id: z.string(),
    status: z
      .enum(['validating_files', 'queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled'])
      .openapi({ description: '`paused` is ours: OpenAI has the command and no name for the state.' }),
    hyperparameters,
    method: z.object({
      type: z.enum(['supervised', 'dpo', 'classification']),
      supervised: z.object({ hyperparameters }).optional(),
      dpo: z.object({ hyperparameters }).optional(),
      classification: z.object({ hyperparameters }).optional(),
    }),
    training_file: z.string(),
    validation_file: z.string().nullable(),
    result_files: z.array(z.string()),
    trained_tokens: z.int().nullable(),
    error: z.object({ code: z.string(), message: z.string(), param: z.string().nullable() }).nullable(),
    seed: z.int(),
    integrations: z.array(z.never()).openapi({ type: 'array', items: {}, maxItems: 0 }),
    metadata: z.record(z.string(), z.string()),
    peft: peftObject.openapi({ description: 'Ours: how the adapter is made.' }),
  })
  .openapi('FineTuningJob');
export const jobList = list(jobObject).openapi('ListPaginatedFineTuningJobsResponse');

const optionalFigure = z.number().optional();
export const eventObject = z
  .object({
    id: z.string(),
    object: z.literal('fine_tuning.job.event'),
    created_at: z.int(),
    level: z.enum(['info', 'warn', 'error']),
    message: z.string(),
    type: z.enum(['message', 'metrics']),
    data: z
      .object({
        step: z.int(),
        total_steps: z.int(),
        train_loss: z.number(),
        train_mean_token_accuracy: z.number(),
        valid_loss: optionalFigure,
        valid_mean_token_accuracy: optionalFigure,
      })
      .optional()
      .openapi({ description: 'Of events of the type metrics.' }),
  })
  .openapi('FineTuningJobEvent');
export const eventList = list(eventObject).openapi('ListFineTuningJobEventsResponse');

export const checkpointObject = z
  .object({
    id: z.string(),
    object: z.literal('fine_tuning.job.checkpoint'),
    created_at: z.int(),
    fine_tuned_model_checkpoint: z.string(),
    step_number: z.int(),
    fine_tuning_job_id: z.string(),
    metrics: z.object({
      step: z.int(),
      train_loss: z.number(),
      train_mean_token_accuracy: z.number(),
      valid_loss: optionalFigure,
      valid_mean_token_accuracy: optionalFigure,
      full_valid_loss: optionalFigure,
      full_valid_mean_token_accuracy: optionalFigure,
    }),
  })
  .openapi('FineTuningJobCheckpoint');
export const checkpointList = list(checkpointObject)
  .extend({ first_id: z.string().nullable(), last_id: z.string().nullable() })
  .openapi('ListFineTuningJobCheckpointsResponse');

export function jobOf(job: Job): z.output<typeof jobObject> {
  const shown = hyperparametersOf(job);
  const isDone = job.status === 'succeeded';
  return {
    id: job.id,
    object: 'fine_tuning.job',
    created_at: secondsOf(job.createdAt),
    finished_at: secondsOrNull(job.finishedAt),
    estimated_finish: secondsOrNull(job.estimatedFinish),
    model: job.base.name,
    fine_tuned_model: isDone ? job.modelName : null,
    organization_id: job.tenant,
    status: job.status,
    hyperparameters: shown,
    method: { type: job.method, [job.method]: { hyperparameters: shown } },
    training_file: job.training.id,
    validation_file: job.validation?.id ?? null,
    result_files: job.resultFile === null ? [] : [job.resultFile],
    trained_tokens: job.trainedTokens,
    error: job.error,
    seed: job.seed,
    integrations: [],
    metadata: { ...job.metadata },
    peft: peftOf(job.peft),
  };
}

export function eventOf({ id, createdAt, level, message, metrics }: JobEvent): z.output<typeof eventObject> {
  return {
    id,
    object: 'fine_tuning.job.event',
    created_at: secondsOf(createdAt),
    level,
    message,
    type: metrics ? 'metrics' : 'message',
    ...(metrics && { data: { ...figuresOf(metrics), total_steps: metrics.totalSteps } }),
  };
}

export function checkpointOf(checkpoint: JobCheckpoint): z.output<typeof checkpointObject> {
  const { metrics } = checkpoint;
  const { validLoss, validAccuracy } = metrics;
  return {
    id: checkpoint.id,
    object: 'fine_tuning.job.checkpoint',
    created_at: secondsOf(checkpoint.createdAt),
    fine_tuned_model_checkpoint: checkpoint.modelName,
    step_number: metrics.step,
    fine_tuning_job_id: checkpoint.job,
    metrics: {
      ...figuresOf(metrics),
      // The held-out data is always evaluated as a whole.
      ...(validLoss !== null && { full_valid_loss: validLoss }),
      ...(validAccuracy !== null && { full_valid_mean_token_accuracy: validAccuracy }),
    },
  };
}

function figuresOf({ step, trainLoss, trainAccuracy, validLoss, validAccuracy }: CheckpointMetrics) {
  return {
    step,
    train_loss: trainLoss,
    train_mean_token_accuracy: trainAccuracy,
    ...(validLoss !== null && { valid_loss: validLoss }),
    ...(validAccuracy !== null && { valid_mean_token_accuracy: validAccuracy }),
  };
}

function hyperparametersOf({ method: type, hyperparameters: asked, resolved }: Job): z.output<typeof hyperparameters> {
  const { batchSize, learningRateMultiplier, numEpochs } = resolved ?? asked;
  return {
    batch_size: batchSize,
    learning_rate_multiplier: learningRateMultiplier,
    n_epochs: numEpochs,
    ...(type === 'dpo' && { beta: resolved?.beta ?? asked.beta }),
  };
}

function secondsOrNull(epochMs: number | null): number | null {
  return epochMs === null ? null : secondsOf(epochMs);
}
