/** Runs that train a classification head on a tiny base, for every method that can have one. */
import { methodConfig, TRAINING_METHODS, type MethodOptions } from '../../src/app/runs/train-methods.ts';
import { Rng } from '../../src/base/index.ts';
import type { BaseModel } from '../../src/model/index.ts';
import { DEFAULT_OPTIMIZER, TrainingRun, type TokenExample } from '../../src/training/index.ts';

export type TrainMethod = (typeof TRAINING_METHODS)[number];

/** What has no head, in Hugging Face PEFT or at all. */
export const METHODS_WITHOUT_HEAD: readonly TrainMethod[] = ['prefix-tuning', 'trainable-tokens', 'full'];

export const METHODS_WITH_HEAD = TRAINING_METHODS.filter((method) => !METHODS_WITHOUT_HEAD.includes(method));

/** Where a method's defaults do not fit a tiny base. */
const OPTIONS: Readonly<Partial<Record<TrainMethod, MethodOptions>>> = {
  oft: { blockSize: 8 },
  miss: { rank: 4 },
  fourierft: { frequencies: 50 },
  vblora: { vectorLength: 16, numVectors: 12 },
  'p-tuning': { virtualTokens: 3 },
  'prompt-tuning': { virtualTokens: 3 },
};

/** Examples whose label their last token says. */
export function labelledExamples(vocabSize: number, numLabels: number): TokenExample[] {
  const rng = Rng.fromSeed(7, 'classifier');
  return Array.from({ length: 30 }, (_, n): TokenExample => {
    const length = 3 + rng.nextBelow(12);
    const tokenIds = Int32Array.from({ length }, () => rng.nextBelow(vocabSize));
    tokenIds[length - 1] = 40 + (n % numLabels);
    return { tokenIds, lossWeights: new Float32Array(length), label: n % numLabels };
  });
}

/** @throws USAGE_INVALID for a method without a head */
export function classifierRun(
  base: BaseModel,
  method: TrainMethod,
  labels: readonly string[],
  train: readonly TokenExample[],
): TrainingRun {
  return new TrainingRun(
    base,
    { train, valid: [] },
    {
      adapter: methodConfig(method, OPTIONS[method] ?? {}, base.config, true),
      objective: { name: 'classification', labels },
      maxSteps: 12,
      epochs: 1,
      batchTokens: 80,
      microBatchTokens: 50,
      learningRate: 2e-2,
      schedule: 'constant',
      warmup: 0,
      seed: 3,
      optimizer: DEFAULT_OPTIMIZER,
      evaluateEverySteps: 100,
    },
  );
}
