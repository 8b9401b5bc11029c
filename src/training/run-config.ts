import type { LinearSite } from '../model/index.ts';
import type { Floats } from '../numeric/index.ts';
import type { TrainedConfig } from './full-model.ts';
import type { LoraTraining } from './lora-start.ts';
import type { Teacher } from './objectives/distillation.ts';
import type { ObjectiveConfig } from './objectives/objective.ts';
import type { OptimizerConfig } from './optimizer.ts';
import type { TokenExample } from './pack.ts';
import type { ScheduleName } from './schedule.ts';

/** What decides a run's bytes, together with the base and the data. */
export interface RunConfig {
  readonly adapter: TrainedConfig;
  /** Tokens that virtual ones begin as, where the adapter's config says that they begin as a text. */
  readonly initialTokenIds?: readonly number[];
  readonly lora?: LoraTraining;
  /** Supervised fine-tuning when missing. */
  readonly objective?: ObjectiveConfig;
  /** Optimizer steps in all; null means as many as `epochs` take. */
  readonly maxSteps: number | null;
  readonly epochs: number;
  /** Tokens of one optimizer step, at most. */
  readonly batchTokens: number;
  /** Tokens of one forward and backward pass, at most: bounds the memory, changes no result but by rounding. */
  readonly microBatchTokens: number;
  /** Computes a layer's activations again on the way back instead of keeping them: less memory, the same result bit for bit. */
  readonly recompute?: boolean | undefined;
  readonly learningRate: number;
  readonly schedule: ScheduleName;
  /** Share of all steps that is warm-up. */
  readonly warmup: number;
  readonly seed: number;
  readonly optimizer: OptimizerConfig;
  /** Steps between evaluations on the held-out data. */
  readonly evaluateEverySteps: number;
  /** The run stops early after so many evaluations in a row that were not the best; never when missing. */
  readonly patience?: number;
  /** Share of the training examples that is held out, where there is no held-out file (run-data.ts); none when missing. */
  readonly validShare?: number;
}

export interface RunData {
  readonly train: readonly TokenExample[];
  readonly valid: readonly TokenExample[];
}

/** What some runs ask beside the base and the data. */
export interface RunSources {
  /** Of a distillation. */
  readonly teacher?: Teacher | undefined;
  /** The weights of a layer before they were quantised, for a start that needs them. */
  readonly original?: ((site: LinearSite) => Floats) | undefined;
}
