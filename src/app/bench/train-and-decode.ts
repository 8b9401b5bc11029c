import { Rng, systemClock } from '../../base/index.ts';
import { defaultLoraConfig } from '../../formats/index.ts';
import type { BaseModel } from '../../model/index.ts';
import type { WeightFormat } from '../../numeric/index.ts';
import { DEFAULT_ENGINE, Engine, GREEDY } from '../../serving/index.ts';
import {
  DEFAULT_MICRO_BATCH_TOKENS,
  DEFAULT_OPTIMIZER,
  loadExamples,
  TrainingRun,
  type RunConfig,
  type TokenExample,
} from '../../training/index.ts';
import type { ModelProgress } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { openModel } from '../models.ts';

/** One measured case. Rates are medians over repetitions; memory is the process's peak. */
export interface BenchCase {
  readonly case: string;
  readonly tokensPerSecond: number;
  readonly repetitions: number;
  readonly threads: number | null;
  readonly instructionSet: string;
  readonly format: string;
  readonly computeDtype: string;
  readonly peakMemoryBytes: number;
}

export interface BenchOptions {
  readonly base: string;
  readonly format?: WeightFormat | undefined;
  readonly repetitions: number;
}

export interface BenchTrainOptions extends BenchOptions {
  readonly batch: number;
  readonly seq: number;
  readonly rank: number;
  readonly targets: readonly string[] | string;
  /** A training file instead of random tokens: a step takes as many tokens as `batch` of its examples have on average. */
  readonly data?: string | undefined;
}

/** LoRA training steps (forward, backward, optimizer) after one warm-up step. */
export async function benchTrain(
  config: AppConfig,
  options: BenchTrainOptions,
  onProgress?: ModelProgress,
): Promise<BenchCase> {
  const { base, renderer } = await openModel(config, { ...options, use: 'training' }, onProgress);
  const examples =
    options.data === undefined
      ? randomExamples(base, options.batch * (options.repetitions + 1), options.seq)
      : loadExamples(options.data, renderer, base.config.contextLength, 'sft').examples;
  const perStep = tokensOf(examples, options.batch);
  const run = new TrainingRun(base, { train: examples, valid: [] }, benchConfig(options, perStep));
  const rates: number[] = [];
  for (let i = 0; i <= options.repetitions; i++) {
    const startedMs = systemClock.nowMs();
    const { numTokens } = run.step();
    if (i > 0) rates.push(numTokens / ((systemClock.nowMs() - startedMs) / 1000));
  }
  const name = options.data === undefined ? `train ${options.batch}x${options.seq}` : `train ${options.data}`;
  return benchCase(name, config, base, rates);
}

export interface BenchDecodeOptions extends BenchOptions {
  readonly batch: number;
  readonly promptTokens: number;
  readonly newTokens: number;
}

/** Greedy generation of `batch` sequences at once, prompts included in the time, new tokens in the rate. */
export async function benchDecode(
  config: AppConfig,
  options: BenchDecodeOptions,
  onProgress?: ModelProgress,
): Promise<BenchCase> {
  const { base } = await openModel(config, options, onProgress);
  const prompts = randomExamples(base, options.batch, options.promptTokens);
  const engine = new Engine(base, {
    ...DEFAULT_ENGINE,
    maxStepTokens: 2048,
    // What a token costs, not how well an untrained text can be guessed.
    maxDraftTokens: 0,
    cacheTokens: options.batch * (options.promptTokens + options.newTokens + 16),
  });
  const rates: number[] = [];
  for (let i = 0; i <= options.repetitions; i++) {
    const startedMs = systemClock.nowMs();
    for (const [index, { tokenIds }] of prompts.entries()) {
      engine.submit({
        id: `${i}.${index}`,
        promptTokenIds: tokenIds,
        adapter: null,
        maxTokens: options.newTokens,
        stopTokenIds: [],
        sampling: GREEDY,
        // The prompts are the same in every repetition and are to be computed in each: tenants share no cache.
        tenant: `repetition ${i}`,
      });
    }
    let numTokens = 0;
    while (engine.hasWork) {
      const { events, failures } = engine.step();
      for (const { error } of failures) throw error;
      for (const event of events) numTokens += event.tokenIds.length;
    }
    if (i > 0) rates.push(numTokens / ((systemClock.nowMs() - startedMs) / 1000));
  }
  return benchCase(`decode ${options.batch}x${options.promptTokens}+${options.newTokens}`, config, base, rates);
}

function benchConfig(options: BenchTrainOptions, batchTokens: number): RunConfig {
  const targets = typeof options.targets === 'string' ? options.targets : [...options.targets];
  return {
    adapter: { ...defaultLoraConfig(), r: options.rank, lora_alpha: 2 * options.rank, target_modules: targets },
    maxSteps: options.repetitions + 1,
    epochs: 1,
    batchTokens,
    microBatchTokens: Math.min(batchTokens, DEFAULT_MICRO_BATCH_TOKENS),
    learningRate: 1e-4,
    schedule: 'constant',
    warmup: 0,
    seed: 0,
    optimizer: DEFAULT_OPTIMIZER,
    evaluateEverySteps: options.repetitions + 1,
  };
}

/** Examples of random tokens with loss everywhere: the arithmetic does not depend on what they say. */
function randomExamples(base: BaseModel, count: number, length: number): TokenExample[] {
  const rng = Rng.fromSeed(0, 'bench');
  return Array.from({ length: count }, () => ({
    tokenIds: Int32Array.from({ length }, () => rng.nextBelow(base.config.vocabSize)),
    lossWeights: new Float32Array(length).fill(1),
  }));
}

/** Tokens of `batch` examples, on average. */
function tokensOf(examples: readonly TokenExample[], batch: number): number {
  const mean = examples.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0) / examples.length;
  return Math.ceil(mean * batch);
}

function benchCase(name: string, config: AppConfig, base: BaseModel, rates: readonly number[]): BenchCase {
  const sorted = rates.toSorted((a, b) => a - b);
  return {
    case: name,
    tokensPerSecond: sorted[Math.floor(sorted.length / 2)],
    repetitions: rates.length,
    threads: config.threads ?? null,
    instructionSet: base.kernels.name,
    format: base.format,
    computeDtype: base.computeDtype,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  };
}
