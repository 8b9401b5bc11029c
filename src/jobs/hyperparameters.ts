import type { JobMethod } from './job.ts';

/** A number, or left to us. */
export type Auto = number | 'auto';

/** OpenAI's hyperparameters as they were asked. */
export interface RequestedHyperparameters {
  /** Examples of an optimizer step, 1 to 256. */
  readonly batchSize: Auto;
  /** Above 0; multiplies the learning rate of the recipe. */
  readonly learningRateMultiplier: Auto;
  /** 1 to 50. */
  readonly numEpochs: Auto;
  /** Of DPO, 0 to 2. */
  readonly beta: Auto;
}

export const ALL_AUTO: RequestedHyperparameters = {
  batchSize: 'auto',
  learningRateMultiplier: 'auto',
  numEpochs: 'auto',
  beta: 'auto',
};

/** What is known of a job's data once it has been checked. */
export interface DataSize {
  readonly examples: number;
  readonly tokens: number;
  /** Of labelled examples: how many different labels they have. */
  readonly labels?: number;
}

/** The run that a job asks for. */
export interface ResolvedHyperparameters {
  readonly batchSize: number;
  readonly learningRateMultiplier: number;
  readonly numEpochs: number;
  /** Null for a method without it. */
  readonly beta: number | null;
  /** Tokens of an optimizer step: as many as `batchSize` examples have on average. */
  readonly batchTokens: number;
  readonly evaluateEverySteps: number;
  readonly size: DataSize;
}

/** Data of this many examples is seen so often. */
const EPOCHS: readonly (readonly [below: number, epochs: number])[] = [
  [1_000, 3],
  [10_000, 2],
];
/** OpenAI's rule for `auto`: a step is about 0.2 % of the data. */
const BATCH_SHARE = 0.002;
const MIN_AUTO_BATCH = 4;
const MAX_BATCH = 256;
const DEFAULT_BETA = 0.1;
/** Evaluations of a run, about; and steps between two of them, at most. */
const EVALUATIONS = 5;
const MAX_EVALUATE_EVERY = 25;

/** Fills in what was left to us. Equal data and equal requests give equal runs. */
export function resolveHyperparameters(
  requested: RequestedHyperparameters,
  method: JobMethod,
  size: DataSize,
): ResolvedHyperparameters {
  const auto = (value: Auto, otherwise: number): number => (value === 'auto' ? otherwise : value);
  const numEpochs = auto(requested.numEpochs, EPOCHS.find(([below]) => size.examples < below)?.[1] ?? 1);
  const share = Math.ceil(size.examples * BATCH_SHARE);
  const autoBatch = Math.min(MAX_BATCH, size.examples, Math.max(MIN_AUTO_BATCH, share));
  const batchSize = Math.min(auto(requested.batchSize, autoBatch), size.examples);
  const numSteps = Math.ceil(size.examples / batchSize) * numEpochs;
  return {
    batchSize,
    learningRateMultiplier: auto(requested.learningRateMultiplier, 1),
    numEpochs,
    beta: method === 'dpo' ? auto(requested.beta, DEFAULT_BETA) : null,
    batchTokens: Math.ceil((size.tokens / size.examples) * batchSize),
    evaluateEverySteps: Math.max(1, Math.min(MAX_EVALUATE_EVERY, Math.ceil(numSteps / EVALUATIONS))),
    size,
  };
}
