/** Runs of random methods, objectives, sizes and data on a tiny base, for tests that train some of them together. */
import type { Rng } from '../../src/base/index.ts';
import {
  CLASSIFICATION,
  CLASSIFIER_MODULES,
  defaultLoraConfig,
  parsePeftConfig,
  type PeftConfig,
} from '../../src/formats/index.ts';
import type { ModelConfig } from '../../src/model/index.ts';
import { DEFAULT_OPTIMIZER, type TokenExample } from '../../src/training/index.ts';
import type { ObjectiveConfig } from '../../src/training/objectives/objective.ts';
import type { RunConfig, RunData } from '../../src/training/run-config.ts';

const VOCABULARY = 1280;
const LABELS = ['first', 'second', 'third'];
export const TARGETS = [
  ['q_proj', 'v_proj'],
  ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
  ['down_proj'],
  ['gate_proj', 'q_proj'],
];
const OBJECTIVES: readonly ObjectiveConfig[] = [
  { name: 'dpo', beta: 0.1, labelSmoothing: 0.1 },
  { name: 'simpo', beta: 2, gamma: 1 },
  { name: 'orpo', beta: 0.1 },
  { name: 'kto', beta: 0.1, desirableWeight: 1, undesirableWeight: 0.7 },
  { name: 'classification', labels: LABELS },
  { name: 'distillation', teacher: 'the base', temperature: 2, teacherShare: 0.5 },
];

export interface RandomRun {
  readonly config: RunConfig;
  readonly data: RunData;
  /** Passes that a group has made before it joins. */
  readonly joinsAt: number;
  /** It learns from the base. */
  readonly isTaught?: boolean;
}

export function randomRun(rng: Rng, model: ModelConfig): RandomRun {
  const batchTokens = 20 + rng.nextBelow(200);
  const objective = rng.nextBelow(2) === 0 ? undefined : OBJECTIVES[rng.nextBelow(OBJECTIVES.length)];
  const adapter = objective?.name === 'classification' ? randomClassifier(rng) : randomAdapter(rng, model);
  const config: RunConfig = {
    adapter,
    ...(objective && { objective }),
    recompute: rng.nextBelow(4) === 0,
    maxSteps: 2 + rng.nextBelow(5),
    epochs: 1,
    batchTokens,
    microBatchTokens: 10 + rng.nextBelow(batchTokens),
    learningRate: 0.03,
    schedule: 'cosine',
    warmup: 0,
    seed: rng.nextBelow(1000),
    optimizer: { ...DEFAULT_OPTIMIZER, weightDecay: 0.01 },
    evaluateEverySteps: 2,
  };
  const examples = (count: number): TokenExample[] => formFor(objective, randomExamples(rng, count));
  const data = { train: examples(3 + rng.nextBelow(12)), valid: examples(rng.nextBelow(3)) };
  return { config, data, joinsAt: rng.nextBelow(4), isTaught: objective?.name === 'distillation' };
}

/** Half of the sets have examples that begin alike. */
export function randomExamples(rng: Rng, count: number): TokenExample[] {
  const beginning = Array.from({ length: 20 * rng.nextBelow(2) }, () => rng.nextBelow(VOCABULARY));
  return Array.from({ length: count }, () => {
    const length = beginning.length + 2 + rng.nextBelow(70);
    const prompt = rng.nextBelow(length - 1);
    return {
      tokenIds: Int32Array.from({ length }, (_, i) => beginning[i] ?? rng.nextBelow(VOCABULARY)),
      lossWeights: Float32Array.from({ length }, (_, i) => (i > prompt ? 1 : 0)),
    };
  });
}

/** The examples as an objective reads them: with a label, or as two answers. */
function formFor(objective: ObjectiveConfig | undefined, examples: readonly TokenExample[]): TokenExample[] {
  switch (objective?.name) {
    case undefined:
    case 'sft':
    case 'distillation':
      return [...examples];
    case 'classification':
      return examples.map(({ tokenIds }, n) => {
        return { tokenIds, lossWeights: new Float32Array(tokenIds.length), label: n % LABELS.length };
      });
    default:
      return examples.map((example, n) => ({ ...paired(example), isDesirable: n % 2 === 0 }));
  }
}

/** Two answers after one prompt: the example's, and that in the opposite order. */
export function paired({ tokenIds, lossWeights }: TokenExample): TokenExample {
  const prompt = lossWeights.indexOf(1);
  const other = [...tokenIds.subarray(0, prompt), ...tokenIds.slice(prompt).reverse()];
  return {
    tokenIds: Int32Array.from([...tokenIds, ...other]),
    lossWeights: Float32Array.from([...lossWeights, ...lossWeights]),
    ends: [tokenIds.length, 2 * tokenIds.length],
  };
}

function randomClassifier(rng: Rng): PeftConfig {
  const shared = { task_type: CLASSIFICATION, modules_to_save: [...CLASSIFIER_MODULES] };
  const target_modules = TARGETS[rng.nextBelow(TARGETS.length)];
  return rng.nextBelow(2) === 0
    ? parsePeftConfig({ ...shared, peft_type: 'LORA', r: 4, target_modules, lora_dropout: 0.1 }, 'lora')
    : parsePeftConfig({ ...shared, peft_type: 'IA3', target_modules, feedforward_modules: [] }, 'ia3');
}

function randomAdapter(rng: Rng, model: ModelConfig): PeftConfig {
  const target_modules = TARGETS[rng.nextBelow(TARGETS.length)];
  const r = 1 + rng.nextBelow(9);
  const shared = { task_type: 'CAUSAL_LM', target_modules };
  switch (rng.nextBelow(10)) {
    case 0:
      return parsePeftConfig({ ...shared, peft_type: 'LORA', r, use_dora: true, lora_alpha: 16 }, 'dora');
    case 1:
      return parsePeftConfig(
        { ...shared, peft_type: 'IA3', feedforward_modules: target_modules.filter((name) => name === 'down_proj') },
        'ia3',
      );
    case 2:
      return parsePeftConfig({ ...shared, peft_type: 'LOHA', r, alpha: 8 }, 'loha');
    case 3:
      return parsePeftConfig(
        { task_type: 'CAUSAL_LM', peft_type: 'LN_TUNING', target_modules: ['norm', 'input_layernorm'] },
        'ln',
      );
    case 4:
      return virtualTokens(rng, model);
    case 5:
      // A head of its own.
      return { ...defaultLoraConfig(), r, target_modules: [...target_modules, 'lm_head'] };
    default:
      return {
        ...defaultLoraConfig(),
        r,
        lora_alpha: 16,
        lora_dropout: rng.nextBelow(2) === 0 ? 0 : 0.2,
        use_rslora: rng.nextBelow(2) === 0,
        lora_bias: rng.nextBelow(2) === 0,
        target_modules,
      };
  }
}

function virtualTokens(rng: Rng, model: ModelConfig): PeftConfig {
  const { hiddenSize, numLayers, numHeads, numKeyValueHeads, headWidth } = model;
  const sizes = { token_dim: hiddenSize, num_layers: numLayers, num_attention_heads: numHeads };
  const shared = { task_type: 'CAUSAL_LM', ...sizes, num_virtual_tokens: 1 + rng.nextBelow(5) };
  const ofKeys = { token_dim: numKeyValueHeads * headWidth, num_attention_heads: numKeyValueHeads };
  switch (rng.nextBelow(4)) {
    case 0:
      return parsePeftConfig({ ...shared, peft_type: 'PROMPT_TUNING' }, 'prompt tuning');
    case 1:
      return parsePeftConfig({ ...shared, peft_type: 'P_TUNING', encoder_hidden_size: 6 }, 'P-tuning');
    case 2:
      return parsePeftConfig({ ...shared, ...ofKeys, peft_type: 'PREFIX_TUNING' }, 'prefix tuning');
    default:
      return parsePeftConfig(
        { ...shared, ...ofKeys, peft_type: 'PREFIX_TUNING', prefix_projection: true, encoder_hidden_size: 6 },
        'prefix tuning with a projection',
      );
  }
}
