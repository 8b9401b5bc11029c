import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fail, writeFileAtomicSync } from '../base/index.ts';
import { readJsonFile, writeSafetensors, type LazyTensor } from '../formats/index.ts';
import type { Floats } from '../numeric/index.ts';
import type { ModelConfig } from './config.ts';
import { familyNamed } from './families/index.ts';
import { baseTensors } from './tensor-names.ts';

/** How the numbers of a written model are stored. */
export const MODEL_DTYPES = ['f32', 'bf16'] as const;
export type ModelDtype = (typeof MODEL_DTYPES)[number];

export interface ModelFolder {
  /** The base that the model comes from: a Hugging Face folder, whose config.json is taken over, or a GGUF file. */
  readonly origin: string;
  readonly config: ModelConfig;
  readonly dtype: ModelDtype;
  /** The values of a tensor by Hugging Face's name, row by row; asked for each once, and not kept. */
  read(name: string): Floats;
}

/**
 * Writes config.json and model.safetensors of a dense model, as Transformers opens them.
 * @returns the size of the weights' file in bytes
 * @throws MODEL_UNSUPPORTED for a GGUF file whose settings a config.json cannot say
 */
export function writeModelFolder(target: string, model: ModelFolder): number {
  const { origin, config, dtype } = model;
  const { quantization_config: _quantised, dtype: _dtype, ...kept } = configJson(origin, config);
  const document = { ...kept, torch_dtype: dtype === 'f32' ? 'float32' : 'bfloat16' };
  mkdirSync(target, { recursive: true });
  const tensors = new Map<string, LazyTensor>(
    baseTensors(config).map(({ name, shape }) => [
      name,
      { shape, dtype: dtype === 'f32' ? 'F32' : 'BF16', read: () => model.read(name) },
    ]),
  );
  const sizeBytes = writeSafetensors(join(target, 'model.safetensors'), tensors);
  writeFileAtomicSync(join(target, 'config.json'), [Buffer.from(`${JSON.stringify(document, null, 2)}\n`)]);
  return sizeBytes;
}

function configJson(origin: string, config: ModelConfig): Readonly<Record<string, unknown>> {
  if (statSync(origin).isDirectory()) return readJsonFile(join(origin, 'config.json')) as Record<string, unknown>;
  const family = familyNamed(config.family) ?? fail('INTERNAL', `no family is called ${config.family}`);
  const { ropeScaling } = config;
  if (ropeScaling !== null && ropeScaling.type !== 'linear') {
    fail(
      'MODEL_UNSUPPORTED',
      `${origin}: has rotation factors of its own, which config.json cannot say: use the base's Hugging Face folder`,
      { param: 'rope_scaling' },
    );
  }
  const hasBias = config.biasedRoles.length > 0;
  const said = new Set(family.biasedRoles({ attention_bias: hasBias }));
  if (said.size !== config.biasedRoles.length || config.biasedRoles.some((role) => !said.has(role))) {
    const roles = config.biasedRoles.join(', ') || 'no layer';
    fail('MODEL_UNSUPPORTED', `${origin}: biases on ${roles} alone cannot be said of a ${family.name} in config.json`, {
      param: 'attention_bias',
    });
  }
  return {
    architectures: [family.architecture],
    model_type: family.modelTypes[0],
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numLayers,
    num_attention_heads: config.numHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headWidth,
    hidden_act: 'silu',
    rms_norm_eps: config.normEpsilon,
    rope_theta: config.ropeTheta,
    rope_scaling: ropeScaling && { rope_type: 'linear', factor: ropeScaling.factor },
    max_position_embeddings: config.contextLength,
    tie_word_embeddings: config.tieEmbeddings,
    attention_bias: hasBias,
    use_cache: true,
  };
}
