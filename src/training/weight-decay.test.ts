/** Weight decay: which parameters it reaches, as Hugging Face's Trainer has it, and in runs that are older than that. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadNativeKernels, type Parameter } from '../numeric/index.ts';
import { applyGradients, DEFAULT_OPTIMIZER, zeroMoments, type OptimizerConfig } from './optimizer.ts';
import { decayWarnings, isBiasOrNorm } from './weight-decay.ts';

const LAYER = 'base_model.model.model.layers.0';
const SPARED = [
  `${LAYER}.self_attn.q_proj.bias`,
  `${LAYER}.self_attn.q_proj.lora_B.bias`,
  `${LAYER}.input_layernorm.weight`,
  `${LAYER}.post_attention_layernorm.weight`,
  `${LAYER}.self_attn.q_norm.weight`,
  'base_model.model.model.norm.weight',
  'model.norm.weight',
  'prompt_encoder.mlp_head.0.bias',
];
const REACHED = [
  `${LAYER}.self_attn.q_proj.lora_A.weight`,
  `${LAYER}.self_attn.q_proj.lora_B.weight`,
  `${LAYER}.self_attn.q_proj.lora_magnitude_vector`,
  `${LAYER}.mlp.down_proj.ia3_l`,
  'base_model.model.score.weight',
  'model.embed_tokens.weight',
  'prompt_embeddings',
];

/** One step from ones, without a gradient: what is taken off is the decay. */
function valuesAfterStep(optimizer: Partial<OptimizerConfig>): Map<string, number> {
  const one = (name: string): Parameter => {
    const shape = [1];
    return { name, value: { shape, data: Float32Array.of(1) }, gradient: { shape, data: Float32Array.of(0) } };
  };
  const parameters = [...SPARED, ...REACHED].map(one);
  const config = { ...DEFAULT_OPTIMIZER, ...optimizer };
  const step = { weightSum: 1, learningRate: 0.5, step: 1 };
  applyGradients(loadNativeKernels(), parameters, zeroMoments(parameters), config, step);
  return new Map(parameters.map(({ name, value }) => [name, value.data[0]]));
}

test('the names are those of biases and norms', () => {
  assert.deepEqual([...SPARED, ...REACHED].filter(isBiasOrNorm), SPARED);
});

test('a step takes nothing off biases and norms; where the settings do not say so it reaches everything', () => {
  const spared = valuesAfterStep({ weightDecay: 0.5, sparesBiasesAndNorms: true });
  for (const name of SPARED) assert.equal(spared.get(name), 1, name);
  for (const name of REACHED) assert.equal(spared.get(name), 0.75, name);
  const before = valuesAfterStep({ weightDecay: 0.5 });
  for (const [name, value] of before) assert.equal(value, 0.75, name);
});

test('a decay that reaches nothing is told', () => {
  const parametersOf = (names: readonly string[]): { name: string }[] => names.map((name) => ({ name }));
  const optimizer = { ...DEFAULT_OPTIMIZER, weightDecay: 0.1, sparesBiasesAndNorms: true } as const;
  assert.match(decayWarnings(optimizer, parametersOf(SPARED))[0].message, /reaches nothing/);
  assert.deepEqual(decayWarnings(optimizer, parametersOf([...SPARED, ...REACHED])), []);
  assert.deepEqual(decayWarnings({ ...optimizer, weightDecay: 0 }, parametersOf(SPARED)), []);
});
