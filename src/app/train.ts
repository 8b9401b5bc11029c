import { fork } from 'node:child_process';
import { resolve } from 'node:path';
import { EspalierError } from '../base/index.ts';
import { referenceOf, type JsonValue } from '../registry/index.ts';
import { TARGET_PRESETS, TRAINABLE_METHODS } from '../adapters/index.ts';
import { defaultLoraConfig } from '../formats/index.ts';
import {
  DEFAULT_OPTIMIZER,
  type FromTrainer,
  type RunConfig,
  type ScheduleName,
  type TrainJob,
  type TrainResult,
  type TrainStarted,
} from '../training/index.ts';
import { parseTarget } from './adapters.ts';
import type { AppConfig } from './config.ts';
import { resolveBase, type Base, type ModelProgress } from './bases.ts';
import { openPlatform } from './platform.ts';

/** Methods that can be trained; more can be served. */
export const TRAINING_METHODS: readonly string[] = TRAINABLE_METHODS.map(({ name }) => name);

/** What `espalier train` takes; {@link TRAIN_DEFAULTS} has what a caller may leave to us. */
export interface TrainOptions {
  readonly base: string;
  readonly data: string;
  readonly valid?: string | undefined;
  readonly method: 'lora';
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  readonly rslora: boolean;
  /** A preset of {@link TARGET_PRESETS}, module names separated by commas, or a regular expression between slashes. */
  readonly targets: string;
  readonly epochs: number;
  readonly maxSteps?: number | undefined;
  readonly batchTokens: number;
  readonly microBatchTokens?: number | undefined;
  readonly learningRate: number;
  readonly schedule: ScheduleName;
  /** Share of all steps. */
  readonly warmup: number;
  readonly weightDecay: number;
  readonly seed: number;
  readonly evaluateEvery?: number | undefined;
  readonly checkpointEvery: number;
  readonly output: string;
  readonly publish?: string | undefined;
  readonly resume?: boolean | undefined;
}

export const TRAIN_DEFAULTS = {
  method: 'lora',
  rank: 8,
  alpha: 16,
  dropout: 0,
  rslora: false,
  targets: 'attention',
  epochs: 1,
  batchTokens: 2048,
  learningRate: 2e-4,
  schedule: 'cosine',
  warmup: 0.05,
  weightDecay: 0,
  seed: 0,
  checkpointEvery: 20,
} as const satisfies Partial<TrainOptions>;

export interface TrainEvents {
  onModelProgress?: ModelProgress | undefined;
  onStarted?(started: TrainStarted): void;
  onStep?(event: Extract<FromTrainer, { type: 'step' }>): void;
}

export interface TrainOutcome extends TrainResult {
  /** `TENANT/TASK@VERSION` when it was published. */
  readonly adapter: string | null;
}

/** Steps between evaluations on the held-out data. */
const DEFAULT_EVALUATE_EVERY = 25;

/**
 * Trains an adapter in a process of its own and publishes it if asked.
 * @throws what the run throws; its last checkpoint stays in the output folder
 */
export async function trainAdapter(
  config: AppConfig,
  options: TrainOptions,
  events: TrainEvents = {},
  signal?: AbortSignal,
): Promise<TrainOutcome> {
  checkPublishTarget(options.publish);
  const base = await resolveBase(config, options.base, events.onModelProgress);
  const result = await runInChild(trainJob(config, options, base), events, signal);
  return publishTrained(config, options, base, result);
}

/** Finds a wrong `--publish` before any compute. @throws USAGE_INVALID */
export function checkPublishTarget(publish: string | undefined): void {
  if (publish !== undefined) parseTarget(publish, '--publish');
}

/** Publishes what a run has made, if its options ask for it. */
export async function publishTrained(
  config: AppConfig,
  options: TrainOptions,
  base: Base,
  result: TrainResult,
): Promise<TrainOutcome> {
  const target = options.publish === undefined ? undefined : parseTarget(options.publish, '--publish');
  if (!target) return { ...result, adapter: null };
  await using platform = await openPlatform(config);
  const { version } = await platform.registry.publish(target.tenant, target.task, result.output, {
    base: { name: base.name, digest: base.digest },
    method: options.method,
    rank: options.rank,
    parameters: result.trainableParameters,
    metrics: metricsOf(result),
    provenance: {
      dataDigest: result.dataDigest,
      steps: result.steps,
      config: JSON.parse(JSON.stringify(runConfig(options))) as JsonValue,
    },
  });
  return { ...result, digest: version.digest, adapter: referenceOf(version) };
}

/** What the training process is told about a run. */
export function trainJob(config: AppConfig, options: TrainOptions, base: Base): TrainJob {
  return {
    base: base.open,
    threads: config.threads,
    dataPath: resolve(options.data),
    validPath: options.valid === undefined ? undefined : resolve(options.valid),
    config: runConfig(options),
    output: resolve(options.output),
    checkpointEverySteps: options.checkpointEvery,
    resume: options.resume ?? false,
    baseModelName: base.repository,
  };
}

function metricsOf({ trainLoss, validLoss, validAccuracy }: TrainResult): Record<string, number> {
  const metrics: Record<string, number> = { trainLoss };
  if (validLoss !== null) metrics['validLoss'] = validLoss;
  if (validAccuracy !== null) metrics['validAccuracy'] = validAccuracy;
  return metrics;
}

function runConfig(options: TrainOptions): RunConfig {
  return {
    adapter: {
      ...defaultLoraConfig(),
      r: options.rank,
      lora_alpha: options.alpha,
      lora_dropout: options.dropout,
      use_rslora: options.rslora,
      target_modules: parseTargets(options.targets),
    },
    maxSteps: options.maxSteps ?? null,
    epochs: options.epochs,
    batchTokens: options.batchTokens,
    microBatchTokens: options.microBatchTokens ?? options.batchTokens,
    learningRate: options.learningRate,
    schedule: options.schedule,
    warmup: options.warmup,
    seed: options.seed,
    optimizer: { ...DEFAULT_OPTIMIZER, weightDecay: options.weightDecay },
    evaluateEverySteps: options.evaluateEvery ?? DEFAULT_EVALUATE_EVERY,
  };
}

/** `attention`, `all-linear`, `q_proj,v_proj` or `/regular expression/`. */
export function parseTargets(text: string): string | string[] {
  const preset = TARGET_PRESETS[text];
  if (preset) return typeof preset === 'string' ? preset : [...preset];
  const pattern = /^\/(.+)\/$/.exec(text)?.[1];
  if (pattern) return pattern;
  return text.split(',').map((name) => name.trim());
}

function runInChild(job: TrainJob, events: TrainEvents, signal: AbortSignal | undefined): Promise<TrainResult> {
  const child = fork(new URL('../training/child.ts', import.meta.url), { serialization: 'advanced', execArgv: [] });
  const abort = (): void => void child.kill();
  signal?.addEventListener('abort', abort, { once: true });
  const finished = new Promise<TrainResult>((settle, reject) => {
    child.on('message', (message: FromTrainer) => {
      switch (message.type) {
        case 'started':
          events.onStarted?.(message.started);
          return;
        case 'step':
          events.onStep?.(message);
          return;
        case 'done':
          settle(message.result);
          return;
        case 'failed': {
          const { code, message: text, param, problems } = message.error;
          reject(new EspalierError(code, text, param === undefined ? { problems } : { param, problems }));
          return;
        }
        default:
          message satisfies never;
      }
    });
    child.once('error', reject);
    // Not `exit`, which can come before the last message has been read.
    child.once('close', (code, killedBy) => {
      const reason = signal?.aborted ? 'CANCELLED' : 'INTERNAL';
      const what = killedBy ? `was ended by ${killedBy}` : `ended with code ${code}`;
      reject(
        new EspalierError(
          reason,
          `the training process ${what}: run again with --resume to go on from the last checkpoint`,
        ),
      );
    });
  });
  child.send(job);
  return finished.finally(() => signal?.removeEventListener('abort', abort));
}
