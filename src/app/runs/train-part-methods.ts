/** Methods that train something else than a change of linear layers: virtual tokens, rows of the embedding, norms. */
import { fail } from '../../base/index.ts';
import type { ModelConfig } from '../../model/index.ts';
import type { TrainedConfig } from '../../training/index.ts';
import type { MethodForm } from './train-methods.ts';

/** Their options. */
export interface PartOptions {
  readonly virtualTokens?: number | undefined;
  /** Virtual tokens begin as the embeddings of this text, instead of tokens that are drawn. */
  readonly initText?: string | undefined;
  /** What makes virtual tokens while they are trained. */
  readonly encoder?: 'mlp' | 'lstm' | undefined;
  readonly encoderHidden?: number | undefined;
  readonly encoderLayers?: number | undefined;
  readonly projection?: boolean | undefined;
  /** Ids of tokens, separated by commas. */
  readonly tokens?: string | undefined;
  /** Modules of the base that are trained whole beside a LoRA, separated by commas. */
  readonly modulesToSave?: string | undefined;
}

const virtualTokens = 20;

/** Sizes that PEFT keeps in the config of virtual tokens. */
const tokenSizes = ({ hiddenSize, numHeads, numLayers }: ModelConfig) => ({
  token_dim: hiddenSize,
  num_transformer_submodules: 1 as const,
  num_attention_heads: numHeads,
  num_layers: numLayers,
});

/** The same of keys and values, of which grouped heads have fewer than there are queries. */
const prefixSizes = (model: ModelConfig) => ({
  ...tokenSizes(model),
  token_dim: model.numKeyValueHeads * model.headWidth,
  num_attention_heads: model.numKeyValueHeads,
});

/** The same settings on another model: those that hold a model's sizes get its own. */
export function onModel(adapter: TrainedConfig, model: ModelConfig): TrainedConfig {
  switch (adapter.peft_type) {
    case 'PROMPT_TUNING':
    case 'P_TUNING':
      return { ...adapter, ...tokenSizes(model) };
    case 'PREFIX_TUNING':
      return { ...adapter, ...prefixSizes(model) };
    default:
      return adapter;
  }
}

export const PART_FORMS = {
  'prompt-tuning': {
    defaults: { virtualTokens, initText: null },
    fields: (options, _targets, model) => ({
      peft_type: 'PROMPT_TUNING',
      ...tokenSizes(model),
      num_virtual_tokens: options.virtualTokens,
      prompt_tuning_init: options.initText === undefined ? 'SAMPLE_VOCAB' : 'TEXT',
      prompt_tuning_init_text: options.initText ?? null,
    }),
  },
  'p-tuning': {
    defaults: { virtualTokens, encoder: 'mlp', encoderHidden: null, encoderLayers: 2 },
    fields: (options, _targets, model) => ({
      peft_type: 'P_TUNING',
      ...tokenSizes(model),
      num_virtual_tokens: options.virtualTokens,
      encoder_reparameterization_type: options.encoder === 'lstm' ? 'LSTM' : 'MLP',
      encoder_hidden_size: options.encoderHidden ?? model.hiddenSize,
      encoder_num_layers: options.encoderLayers,
    }),
  },
  'prefix-tuning': {
    defaults: { virtualTokens, projection: false, encoderHidden: null },
    fields: (options, _targets, model) => ({
      peft_type: 'PREFIX_TUNING',
      ...prefixSizes(model),
      num_virtual_tokens: options.virtualTokens,
      prefix_projection: options.projection,
      encoder_hidden_size: options.encoderHidden ?? model.hiddenSize,
    }),
  },
  'trainable-tokens': {
    defaults: { tokens: null },
    fields: ({ tokens }) => ({
      peft_type: 'TRAINABLE_TOKENS',
      target_modules: 'embed_tokens',
      token_indices: tokens === undefined ? missing('--method trainable-tokens needs --tokens') : tokenIdsIn(tokens),
    }),
  },
  'ln-tuning': {
    defaults: { targets: 'norms' },
    fields: () => ({ peft_type: 'LN_TUNING' }),
  },
} as const satisfies Record<string, MethodForm>;

/** Names of an option's text, with commas between. */
export function namesIn(text: string): string[] {
  return text.split(',').map((name) => name.trim());
}

/** Ids of an option's text. @throws USAGE_INVALID */
export function tokenIdsIn(text: string): number[] {
  return text.split(',').map((part) => {
    if (!/^\s*\d+\s*$/.test(part)) missing(`--tokens ${text}: ${JSON.stringify(part)} is no token id`);
    return Number(part);
  });
}

function missing(what: string): never {
  return fail('USAGE_INVALID', `${what}: give token ids with commas between, such as --tokens 49150,49151`, {
    param: 'tokens',
  });
}
