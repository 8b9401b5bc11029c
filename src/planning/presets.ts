import { fail } from '../base/index.ts';
import { parseModelConfig } from '../model/index.ts';
import type { ModelConfig } from '../model/index.ts';

/** A model to plan for: its shape and what it is called. */
export interface PlannedModel {
  /** `7b`, or the file that the config came from. */
  readonly name: string;
  /** The real architecture whose shape is used. */
  readonly architecture: string;
  /** The round count in a preset's name (7b: 7e9); null for a config of the user's. */
  readonly nominalParameters: number | null;
  readonly config: ModelConfig;
}

interface Preset {
  readonly architecture: string;
  readonly nominal: number;
  /** The published config.json, the fields that make the shape. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** D, F, layers, heads, key-value heads, vocabulary of a Llama. */
function llama(
  hidden_size: number,
  intermediate_size: number,
  num_hidden_layers: number,
  num_attention_heads: number,
  num_key_value_heads: number,
  vocab_size: number,
  tie_word_embeddings = false,
): Preset['config'] {
  return {
    model_type: 'llama',
    hidden_size,
    intermediate_size,
    num_hidden_layers,
    num_attention_heads,
    num_key_value_heads,
    vocab_size,
    tie_word_embeddings,
  };
}

/** Sizes that people name, each the public shape of one real model. */
const PRESETS: Readonly<Record<string, Preset>> = {
  'smollm2-135m': { architecture: 'SmolLM2-135M', nominal: 135e6, config: llama(576, 1536, 30, 9, 3, 49_152, true) },
  '3b': { architecture: 'Llama-3.2-3B', nominal: 3e9, config: llama(3072, 8192, 28, 24, 8, 128_256, true) },
  'open-llama-3b': { architecture: 'OpenLLaMA-3B', nominal: 3e9, config: llama(3200, 8640, 26, 32, 32, 32_000) },
  '7b': { architecture: 'Llama-2-7B', nominal: 7e9, config: llama(4096, 11_008, 32, 32, 32, 32_000) },
  '8b': { architecture: 'Llama-3.1-8B', nominal: 8e9, config: llama(4096, 14_336, 32, 32, 8, 128_256) },
  '13b': { architecture: 'Llama-2-13B', nominal: 13e9, config: llama(5120, 13_824, 40, 40, 40, 32_000) },
  '65b': { architecture: 'LLaMA-65B', nominal: 65e9, config: llama(8192, 22_016, 80, 64, 64, 32_000) },
  '70b': { architecture: 'Llama-3.1-70B', nominal: 70e9, config: llama(8192, 28_672, 80, 64, 8, 128_256) },
};

const PRESET_NAMES: readonly string[] = Object.keys(PRESETS);

/** The preset of a name. @throws MODEL_NOT_FOUND names the presets */
export function presetModel(name: string): PlannedModel {
  const preset = Object.hasOwn(PRESETS, name.toLowerCase()) ? PRESETS[name.toLowerCase()] : undefined;
  if (preset === undefined) {
    fail(
      'MODEL_NOT_FOUND',
      `no preset is called ${JSON.stringify(name)}: use ${PRESET_NAMES.join(', ')} or a config.json`,
      {
        param: 'model',
      },
    );
  }
  return {
    name: name.toLowerCase(),
    architecture: preset.architecture,
    nominalParameters: preset.nominal,
    config: parseModelConfig(preset.config, `preset ${name}`),
  };
}

/** The model of a Hugging Face `config.json`. @throws MODEL_INVALID MODEL_UNSUPPORTED */
export function configuredModel(json: unknown, where: string): PlannedModel {
  const config = parseModelConfig(json, where);
  return { name: where, architecture: config.family, nominalParameters: null, config };
}
