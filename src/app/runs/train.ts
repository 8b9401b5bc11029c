import { resolve } from 'node:path';
import { assert, fail, systemClock } from '../../base/index.ts';
import { referenceOf, type JsonValue } from '../../registry/index.ts';
import { trainableMethodOf } from '../../adapters/index.ts';
import { numVirtualTokens } from '../../formats/index.ts';
import {
  DEFAULT_MICRO_BATCH_TOKENS,
  DEFAULT_OPTIMIZER,
  defaultLearningRate,
  isFull,
  loadExamples,
  type RunConfig,
  type TrainedConfig,
  type ScheduleName,
  type TrainJob,
  type TrainResult,
} from '../../training/index.ts';
import { linearSites } from '../../model/index.ts';
import type { WeightFormat } from '../../numeric/index.ts';
import { fitTraining, type TrainingFit } from '../../planning/index.ts';
import { openChatRenderer } from '../../text/index.ts';
import { parseTarget } from '../adapters/adapters.ts';
import type { AppConfig } from '../config.ts';
import { describeBase, resolveBase, type Base, type ModelProgress } from '../bases.ts';
import { publishProven, rankOf } from '../adapters/publish.ts';
import { RunJournal, type RunFiles } from './journal.ts';
import { loraTraining, type LoraOptions } from './lora-options.ts';
import { objectiveConfig, type ObjectiveOptions } from './objective-options.ts';
import { keptFiles } from './kept-files.ts';
import { FULL, methodConfig, type MethodOptions, type TrainMethod } from './train-methods.ts';
import { findTeacher, type FoundTeacher } from './teacher.ts';
import { runTrainer, type TrainerEvents } from './trainer-process.ts';

/** LoRA on a base in NF4 (Dettmers et al., 2023). */
const QLORA = 'qlora';

/** What `espalier train` takes; {@link TRAIN_DEFAULTS} has what a caller may leave to us. */
export interface TrainOptions extends ObjectiveOptions, MethodOptions, LoraOptions {
  readonly base: string;
  readonly data: string;
  readonly valid?: string | undefined;
  /** Share of the training examples that is held out when there is no `valid`; by default {@link DEFAULT_VALID_SHARE}. */
  readonly validShare?: number | undefined;
  readonly method: TrainMethod;
  /** How the base's weights are held; nf4 for qlora, else bf16. */
  readonly format?: WeightFormat | undefined;
  readonly epochs: number;
  readonly maxSteps?: number | undefined;
  readonly batchTokens: number;
  readonly microBatchTokens?: number | undefined;
  /** Bytes that the run may take: picks the micro-batch, and whether activations are computed again. */
  readonly memory?: number | undefined;
  /** Computes activations again on the way back, whatever the memory. */
  readonly recompute?: boolean | undefined;
  /** By default what {@link defaultLearningRate} says. */
  readonly learningRate?: number | undefined;
  readonly schedule: ScheduleName;
  /** Share of all steps. */
  readonly warmup: number;
  readonly weightDecay: number;
  readonly seed: number;
  readonly evaluateEvery?: number | undefined;
  readonly checkpointEvery: number;
  /** Evaluations in a row that are not the best, after which the run stops early. */
  readonly patience?: number | undefined;
  /** Held-out prompts that are answered at every evaluation; none by default. */
  readonly samples?: number | undefined;
  /** A folder for TensorBoard's event files. */
  readonly tensorboard?: string | undefined;
  readonly output: string;
  readonly publish?: string | undefined;
  readonly resume?: boolean | undefined;
}

export const TRAIN_DEFAULTS = {
  method: 'lora',
  epochs: 1,
  batchTokens: 2048,
  schedule: 'cosine',
  warmup: 0.05,
  weightDecay: 0,
  seed: 0,
  checkpointEvery: 20,
  samples: 3,
} as const satisfies Partial<TrainOptions>;

export interface TrainEvents extends Pick<TrainerEvents, 'onStarted' | 'onStep' | 'onSamples'> {
  onModelProgress?: ModelProgress | undefined;
  /** What was picked for the memory budget. */
  onFit?(fit: TrainingFit): void;
}

export interface TrainOutcome extends TrainResult {
  /** `TENANT/TASK@VERSION` when it was published. */
  readonly adapter: string | null;
  /** Of the PEFT folder's tensors, settings and base; `digest` is the registry's when it was published. */
  readonly adapterDigest: string;
  readonly learningRate: number;
  /** The run's record and curves. */
  readonly files: RunFiles;
}

/** Steps between evaluations on the held-out data. */
const DEFAULT_EVALUATE_EVERY = 25;
/** Held out of the training data when nothing else is. */
export const DEFAULT_VALID_SHARE = 0.05;

/**
 * Trains an adapter in a process of its own and, if asked, publishes it after the same proof as any other.
 * @throws what the run throws, ADAPTER_INVALID QUOTA_EXCEEDED from publishing; its last checkpoint stays in the output folder
 */
export async function trainAdapter(
  config: AppConfig,
  options: TrainOptions,
  events: TrainEvents = {},
  signal?: AbortSignal,
): Promise<TrainOutcome> {
  const target = publishTarget(options.publish);
  if (target && options.method === FULL) {
    fail(
      'USAGE_INVALID',
      '--method full makes a whole model, which is no adapter to publish: leave --publish out, then use espalier models import',
      { param: '--publish' },
    );
  }
  // Found wrong before anything is looked for.
  objectiveConfig(options);
  const format = baseFormat(options);
  const base = await resolveBase(config, options.base, events.onModelProgress, format);
  const fit = options.memory === undefined ? undefined : fitOf(base, options, format, options.memory);
  if (fit) events.onFit?.(fit);
  const extras = { target, tensorboard: options.tensorboard, method: options.method };
  const teacher =
    options.teacher === undefined
      ? undefined
      : await findTeacher(config, options.teacher, base, format, events.onModelProgress);
  return runJob(config, trainJob(config, options, base, fit, teacher), base, extras, events, signal);
}

/** What `--publish` names; found wrong before any compute. @throws USAGE_INVALID */
export function publishTarget(publish: string | undefined): JobExtras['target'] {
  return publish === undefined ? undefined : parseTarget(publish, '--publish');
}

/** What the training process is told about a run. */
export function trainJob(
  config: AppConfig,
  options: TrainOptions,
  base: Base,
  fit?: TrainingFit,
  teacher?: FoundTeacher,
): TrainJob {
  const settings = runConfig(options, base, fit);
  const { objective } = settings;
  return {
    base: base.open,
    threads: config.threads,
    dataPath: resolve(options.data),
    validPath: options.valid === undefined ? undefined : resolve(options.valid),
    config:
      teacher && objective?.name === 'distillation'
        ? { ...settings, objective: { ...objective, teacher: teacher.digest } }
        : settings,
    ...(teacher && { teacher: { base: teacher.base, adapter: teacher.adapter } }),
    output: resolve(options.output),
    checkpointEverySteps: options.checkpointEvery,
    samples: options.samples ?? 0,
    resume: options.resume ?? false,
    baseModelName: base.repository,
  };
}

/** What happens with a job's result. */
export interface JobExtras {
  readonly target: ReturnType<typeof parseTarget> | undefined;
  readonly tensorboard: string | undefined;
  readonly method: string;
  /** The version that the result is the successor of, on another base: then nothing answers by the result yet. */
  readonly retrainedFrom?: string | undefined;
}

/** Runs a job in a process of its own, keeps its journal, and publishes the result if asked. */
export async function runJob(
  config: AppConfig,
  job: TrainJob,
  base: Base,
  { target, tensorboard, ...extras }: JobExtras,
  events: TrainEvents,
  signal: AbortSignal | undefined,
): Promise<TrainOutcome> {
  using journal = new RunJournal(base, job, { tensorboard, clock: systemClock });
  const result = await runTrainer(job, journalled(journal, events), { abort: signal });
  assert(result, 'a run that nobody stops comes to its end');
  const outcome = outcomeOf(job, journal, result);
  return target ? publishTrained(config, base, job, outcome, { target, ...extras }) : outcome;
}

/** A result that is not published, or not yet. */
export function outcomeOf(job: TrainJob, journal: RunJournal, result: TrainResult): TrainOutcome {
  const files = journal.finished(result);
  return { ...result, adapter: null, adapterDigest: result.digest, learningRate: job.config.learningRate, files };
}

/** @throws ADAPTER_INVALID QUOTA_EXCEEDED */
export async function publishTrained(
  config: AppConfig,
  base: Base,
  job: TrainJob,
  outcome: TrainOutcome,
  {
    target,
    method,
    retrainedFrom,
  }: Pick<JobExtras, 'method' | 'retrainedFrom'> & { readonly target: ReturnType<typeof parseTarget> },
): Promise<TrainOutcome> {
  const { version } = await publishProven(config, base, outcome.output, target, {
    metrics: metricsOf(outcome),
    provenance: {
      dataDigest: outcome.dataDigest,
      textDigest: outcome.textDigest,
      steps: outcome.steps,
      ...(retrainedFrom !== undefined && { retrainedFrom }),
      config: JSON.parse(JSON.stringify({ ...job.config, method, baseFormat: outcome.baseFormat })) as JsonValue,
    },
    data: keptFiles(job, outcome),
    isStaged: retrainedFrom !== undefined,
  });
  return { ...outcome, digest: version.digest, adapter: referenceOf(version) };
}

/** The caller's events, with the journal told first. */
export function journalled(journal: RunJournal, events: TrainEvents): TrainEvents {
  return {
    onStarted(started) {
      journal.started(started);
      events.onStarted?.(started);
    },
    onStep(event) {
      journal.step(event.report);
      events.onStep?.(event);
    },
    onSamples(samples) {
      journal.sampled(samples);
      events.onSamples?.(samples);
    },
  };
}

/** The scores of a run as a version keeps them. */
export function metricsOf({ trainLoss, validLoss, validAccuracy }: TrainResult): Record<string, number> {
  const metrics: Record<string, number> = { trainLoss };
  if (validLoss !== null) metrics['validLoss'] = validLoss;
  if (validAccuracy !== null) metrics['validAccuracy'] = validAccuracy;
  return metrics;
}

/** @throws USAGE_INVALID for a QLoRA on anything but NF4, and for a full run on anything but float32 */
export function baseFormat({ method, format }: Pick<TrainOptions, 'method' | 'format'>): WeightFormat {
  if (method === FULL) {
    if (format === undefined || format === 'f32') return 'f32';
    fail('USAGE_INVALID', `--method full trains the weights in f32, --format is ${format}: leave it out`, {
      param: 'format',
    });
  }
  if (method !== QLORA) return format ?? 'bf16';
  if (format !== undefined && format !== 'nf4') {
    fail(
      'USAGE_INVALID',
      `--method qlora trains on a base in nf4, --format is ${format}: leave it out, or use --method lora`,
      {
        param: 'format',
      },
    );
  }
  return 'nf4';
}

/** What fits a memory budget, by the plan's figures and the longest example of the data. @throws USAGE_INVALID DATA_INVALID */
function fitOf(base: Base, options: TrainOptions, format: WeightFormat, budgetBytes: number): TrainingFit {
  if (options.microBatchTokens !== undefined || options.recompute) {
    fail('USAGE_INVALID', '--memory picks what --micro-batch-tokens and --recompute set: give one or the other');
  }
  const { config } = describeBase(base);
  const { adapter, batchTokens } = runConfig(options, base);
  const sites = linearSites(config);
  if (isFull(adapter)) {
    fail('USAGE_INVALID', '--memory has no meaning for --method full: give --micro-batch-tokens and --recompute');
  }
  const specs = trainableMethodOf(adapter).parameters(adapter, sites, config);
  const adapted = sites.filter(({ path }) => specs.some(({ name }) => name.includes(`${path}.`)));
  const parameters = specs.reduce((sum, { shape }) => sum + shape.reduce((size, length) => size * length, 1), 0);
  const roles = [...new Set(adapted.map(({ role }) => role))];
  const renderer = openChatRenderer(base.open.path);
  const files = [options.data, options.valid].filter((path) => path !== undefined);
  const numVirtual = numVirtualTokens(adapter);
  const longestTokens = Math.max(
    ...files.flatMap((path) =>
      loadExamples(resolve(path), renderer, config.contextLength - numVirtual).examples.map(
        ({ tokenIds, ends }) => tokenIds.length + numVirtual * (ends?.length ?? 1),
      ),
    ),
  );
  const trainable = { parameters, share: 0, roles, numSites: adapted.length };
  return fitTraining(
    config,
    trainable,
    { format, rank: rankOf(adapter) ?? 1, batchTokens, longestTokens },
    budgetBytes,
  );
}

/** How much lower the rate of all weights is than LoRA's (Schulman et al., 2025). */
const FULL_RATE = 0.1;

/** How LoRA's update is scaled; other methods get the rate of LoRA's defaults. */
function updateScale(adapter: TrainedConfig): { rank: number; alpha: number; rslora: boolean } {
  if (adapter.peft_type !== 'LORA') return { rank: 8, alpha: 16, rslora: false };
  return { rank: adapter.r, alpha: adapter.lora_alpha, rslora: adapter.use_rslora };
}

/** Virtual tokens that begin as a text begin as its tokens, which the run gets. @throws USAGE_INVALID for a text without any */
function initialised(adapter: TrainedConfig, base: Base): Pick<RunConfig, 'adapter' | 'initialTokenIds'> {
  if (adapter.peft_type !== 'PROMPT_TUNING' || adapter.prompt_tuning_init_text === null) return { adapter };
  const { tokenizer } = openChatRenderer(base.open.path);
  const initialTokenIds = [...tokenizer.encode(adapter.prompt_tuning_init_text, { allowSpecial: false })];
  if (initialTokenIds.length === 0) fail('USAGE_INVALID', '--init-text has no token', { param: 'initText' });
  // PEFT asks for it beside the text.
  return { adapter: { ...adapter, tokenizer_name_or_path: base.repository }, initialTokenIds };
}

/** The settings of a run, with every default filled in. */
export function runConfig(options: TrainOptions, base: Base, fit?: TrainingFit): RunConfig {
  const objective = objectiveConfig(options);
  const model = describeBase(base).config;
  const { adapter, ...initial } = initialised(methodConfig(options.method, options, model), base);
  const lora = loraTraining(options.method, options);
  const { batchTokens } = options;
  const { hiddenSize } = model;
  const learningRate =
    options.learningRate ??
    defaultLearningRate({
      objective: objective.name,
      hiddenSize,
      batchTokens,
      factor: isFull(adapter) ? FULL_RATE : 1,
      ...updateScale(adapter),
    });
  const validShare = options.valid === undefined ? (options.validShare ?? DEFAULT_VALID_SHARE) : 0;
  return {
    adapter,
    ...initial,
    maxSteps: options.maxSteps ?? null,
    epochs: options.epochs,
    batchTokens,
    microBatchTokens:
      fit?.microBatchTokens ?? Math.min(options.microBatchTokens ?? DEFAULT_MICRO_BATCH_TOKENS, batchTokens),
    ...(fit?.recompute || options.recompute ? { recompute: true } : {}),
    learningRate,
    schedule: options.schedule,
    warmup: options.warmup,
    seed: options.seed,
    optimizer: {
      ...DEFAULT_OPTIMIZER,
      weightDecay: options.weightDecay,
      ...(options.rateRatio !== undefined && { rateRatio: options.rateRatio }),
    },
    ...(lora && { lora }),
    evaluateEverySteps: options.evaluateEvery ?? DEFAULT_EVALUATE_EVERY,
    ...(objective.name !== 'sft' && { objective }),
    ...(options.patience !== undefined && { patience: options.patience }),
    ...(validShare > 0 && { validShare }),
  };
}
