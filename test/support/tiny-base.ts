import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Rng } from '../../src/base/index.ts';
import { writeSafetensors, type NamedTensor } from '../../src/formats/index.ts';
import { baseTensors, linearSites, parseModelConfig, type LinearSite } from '../../src/model/index.ts';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));

/** A GGUF file of a tiny model. */
export const tinyGguf = join(golden, 'models', 'tiny-llama', 'tiny-llama.gguf');

/** Makes a Hugging Face folder of a tiny model, with a tokenizer. */
export function writeTinyFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const file of ['config.json', 'model.safetensors'])
    copyFileSync(join(golden, 'models', 'tiny-llama', file), join(folder, file));
  copyFileSync(join(golden, 'text', 'tiny-tokenizer.json'), join(folder, 'tokenizer.json'));
  writeFileSync(join(folder, 'tokenizer_config.json'), '{"bos_token":"<|endoftext|>","eos_token":"<|im_end|>"}\n');
}

/** ChatML, written for the tiny tokenizer's control tokens. */
const CHAT_TEMPLATE =
  "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}" +
  '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}';

/** Ids of the tiny tokenizer. */
const TINY_VOCABULARY = 1280;
export const TINY_HIDDEN_SIZE = 32;

export interface TinyBaseOptions {
  readonly seed?: number;
  readonly contextLength?: number;
  /** Fields of config.json in place of the tiny ones: another shape. */
  readonly fields?: Readonly<Record<string, number>>;
}

/**
 * Makes a base that the whole program takes: a Hugging Face folder of a decoder with two layers and random weights, the tiny tokenizer
 * and a chat template. It answers nonsense, but the same nonsense for the same seed, and in about a millisecond a token.
 */
export function writeTinyBase(folder: string, { seed = 1, contextLength = 512, fields }: TinyBaseOptions = {}): void {
  mkdirSync(folder, { recursive: true });
  const config = { ...tinyConfig(contextLength), ...fields };
  writeFileSync(join(folder, 'config.json'), `${JSON.stringify(config)}\n`);
  const tensors = new Map<string, NamedTensor>();
  for (const { name, kind, shape } of baseTensors(parseModelConfig(config, 'config.json'))) {
    const rng = Rng.fromSeed(seed, name);
    const size = shape.reduce((product, length) => product * length, 1);
    // A head with large weights: answers that change from token to token, instead of one token for ever.
    const scale = name === 'lm_head.weight' ? 0.5 : 1 / Math.sqrt(shape[1] ?? 1);
    const data = Float32Array.from({ length: size }, () => (kind === 'vector' ? 1 : scale * rng.nextNormal()));
    tensors.set(name, { shape, data });
  }
  writeSafetensors(join(folder, 'model.safetensors'), tensors);
  copyFileSync(join(golden, 'text', 'tiny-tokenizer.json'), join(folder, 'tokenizer.json'));
  const tokenizer = { bos_token: '<|endoftext|>', eos_token: '<|im_end|>', chat_template: CHAT_TEMPLATE };
  writeFileSync(join(folder, 'tokenizer_config.json'), `${JSON.stringify(tokenizer)}\n`);
}

/** Where an adapter of the base of {@link writeTinyBase} may be applied. */
export function tinySites(): LinearSite[] {
  return linearSites(parseModelConfig(tinyConfig(512), 'config.json'));
}

function tinyConfig(contextLength: number) {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: TINY_VOCABULARY,
    hidden_size: TINY_HIDDEN_SIZE,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 8,
    hidden_act: 'silu',
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    max_position_embeddings: contextLength,
    tie_word_embeddings: false,
  };
}
