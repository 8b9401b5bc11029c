import type { WeightFormat } from '../../numeric/index.ts';
import type { ScheduleName } from '../../training/index.ts';
import type { LoraOptions } from './lora-options.ts';
import type { ObjectiveOptions } from './objective-options.ts';
import type { MethodOptions, TrainMethod } from './train-methods.ts';

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
  /** Drops the checkpoint of an unfinished run in the output folder; without it, and without `resume`, such a folder is refused. */
  readonly restart?: boolean | undefined;
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

/** Held out of the training data when nothing else is. */
export const DEFAULT_VALID_SHARE = 0.05;
