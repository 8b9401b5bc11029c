import { resolve } from 'node:path';
import { fail } from '../../base/index.ts';
import { numVirtualTokens } from '../../formats/index.ts';
import { linearSites } from '../../model/index.ts';
import type { WeightFormat } from '../../numeric/index.ts';
import { fitTraining, type MachineFigures, type TrainingFit } from '../../planning/index.ts';
import { openChatRenderer } from '../../text/index.ts';
import {
  DEFAULT_MICRO_BATCH_TOKENS,
  DEFAULT_OPTIMIZER,
  defaultLearningRate,
  isFull,
  loadExamples,
  parametersOf,
  type RunConfig,
  type TrainedConfig,
} from '../../training/index.ts';
import { rankOf } from '../adapters/publish.ts';
import { describeBase, type Base } from '../bases.ts';
import { loraTraining } from './lora-options.ts';
import { objectiveConfig, withClasses } from './objective-options.ts';
import { FULL, methodConfig } from './train-methods.ts';
import { DEFAULT_VALID_SHARE, type TrainOptions } from './train-options.ts';

/** LoRA on a base in NF4 (Dettmers et al., 2023). */
const QLORA = 'qlora';

/** Steps between evaluations on the held-out data. */
const DEFAULT_EVALUATE_EVERY = 25;

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
export function fitOf(
  base: Base,
  options: TrainOptions,
  format: WeightFormat,
  budgetBytes: number,
  machine?: MachineFigures,
): TrainingFit {
  if (options.microBatchTokens !== undefined || options.recompute) {
    fail('USAGE_INVALID', '--memory picks what --micro-batch-tokens and --recompute set: give one or the other');
  }
  const { config } = describeBase(base);
  const settings = runConfig(options, base);
  const { adapter, batchTokens } = settings;
  const sites = linearSites(config);
  if (isFull(adapter)) {
    fail('USAGE_INVALID', '--memory has no meaning for --method full: give --micro-batch-tokens and --recompute');
  }
  const specs = parametersOf(settings, { sites, config });
  const adapted = sites.filter(({ path }) => specs.some(({ name }) => name.includes(`${path}.`)));
  const parameters = specs.reduce((sum, { shape }) => sum + shape.reduce((size, length) => size * length, 1), 0);
  const roles = [...new Set(adapted.map(({ role }) => role))];
  const renderer = openChatRenderer(base.open.path);
  const files = [options.data, options.valid].filter((path) => path !== undefined);
  const numVirtual = numVirtualTokens(adapter);
  let longestTokens = 0;
  for (const path of files) {
    for (const example of loadExamples(resolve(path), renderer, config.contextLength - numVirtual).examples) {
      const { tokenIds, ends } = example;
      longestTokens = Math.max(longestTokens, tokenIds.length + numVirtual * (ends?.length ?? 1));
    }
  }
  const trainable = { parameters, share: 0, roles, numSites: adapted.length };
  return fitTraining(
    config,
    trainable,
    { format, rank: rankOf(adapter) ?? 1, batchTokens, longestTokens },
    budgetBytes,
    machine,
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
export function withInitialTokens(adapter: TrainedConfig, base: Base): Pick<RunConfig, 'adapter' | 'initialTokenIds'> {
  if (adapter.peft_type !== 'PROMPT_TUNING' || adapter.prompt_tuning_init_text === null) return { adapter };
  const { tokenizer } = openChatRenderer(base.open.path);
  const initialTokenIds = [...tokenizer.encode(adapter.prompt_tuning_init_text, { allowSpecial: false })];
  if (initialTokenIds.length === 0) fail('USAGE_INVALID', '--init-text has no token', { param: 'initText' });
  // PEFT asks for it beside the text.
  return { adapter: { ...adapter, tokenizer_name_or_path: base.repository }, initialTokenIds };
}

/** The settings of a run, with every default filled in. */
export function runConfig(options: TrainOptions, base: Base, fit?: TrainingFit): RunConfig {
  const objective = withClasses(objectiveConfig(options), options.data);
  const model = describeBase(base).config;
  const { adapter, ...initial } = withInitialTokens(
    methodConfig(options.method, options, model, objective.name === 'classification'),
    base,
  );
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
      // Where there is no decay nothing is said of it: such runs have the settings that they always had.
      ...(options.weightDecay > 0 && { sparesBiasesAndNorms: true }),
      ...(options.rateRatio !== undefined && { rateRatio: options.rateRatio }),
    },
    ...(lora && { lora }),
    evaluateEverySteps: options.evaluateEvery ?? DEFAULT_EVALUATE_EVERY,
    ...(objective.name !== 'sft' && { objective }),
    ...(options.patience !== undefined && { patience: options.patience }),
    ...(validShare > 0 && { validShare }),
  };
}
