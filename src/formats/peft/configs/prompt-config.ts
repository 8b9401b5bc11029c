/** The configs of PEFT's prompt-learning methods: virtual tokens before the prompt, or keys and values before it. */
import { z } from 'zod';
import { MAX_VIRTUAL_TOKENS } from '../../limits.ts';
import {
  commonFields,
  decidingFields,
  dropoutShare,
  flag,
  parseFields,
  spent,
  text,
  wholeNumber,
} from './config-fields.ts';
import { causalTask, headModules } from './head-fields.ts';

const MAX_SIZE = 2 ** 20;
const size = wholeNumber('must be', 1, MAX_SIZE);
/** Sizes of what made the tokens and is gone: the saved tokens are the encoder's output. */
const spentSize = size.nullable().default(null);

const promptFields = {
  ...commonFields,
  num_virtual_tokens: wholeNumber('must be', 1, MAX_VIRTUAL_TOKENS),
  token_dim: size,
  num_transformer_submodules: z
    .literal(1, { error: 'is not supported yet (encoder-decoder models): expected 1 or null' })
    .nullable()
    .default(null),
  num_attention_heads: size.nullable().default(null),
  num_layers: size.nullable().default(null),
  modules_to_save: headModules,
};

const promptSchema = z.strictObject({
  peft_type: z.literal('PROMPT_TUNING'),
  ...promptFields,
  prompt_tuning_init: z
    .enum(['TEXT', 'SAMPLE_VOCAB', 'RANDOM'], { error: 'must be one of TEXT|SAMPLE_VOCAB|RANDOM' })
    .default('RANDOM'),
  prompt_tuning_init_text: text,
  tokenizer_name_or_path: text,
  tokenizer_kwargs: spent,
});

const pTuningSchema = z.strictObject({
  peft_type: z.literal('P_TUNING'),
  ...promptFields,
  encoder_reparameterization_type: z.enum(['MLP', 'LSTM'], { error: 'must be one of MLP|LSTM' }).default('MLP'),
  encoder_hidden_size: spentSize,
  encoder_num_layers: size.default(2),
  encoder_dropout: dropoutShare,
});

const prefixSchema = z.strictObject({
  peft_type: z.literal('PREFIX_TUNING'),
  ...promptFields,
  task_type: causalTask('a model of PEFT that classifies takes no keys and values'),
  num_attention_heads: size,
  num_layers: size,
  init_weights: z.literal('zero', { error: 'must be "zero" or null' }).nullable().default(null),
  encoder_hidden_size: spentSize,
  // PEFT saves what the projection gives, not the projection.
  prefix_projection: flag.default(false),
});

/** PEFT's PromptTuningConfig. */
export type PromptTuningConfig = Readonly<z.output<typeof promptSchema>>;
/** PEFT's PromptEncoderConfig. */
export type PTuningConfig = Readonly<z.output<typeof pTuningSchema>>;
/** PEFT's PrefixTuningConfig. */
export type PrefixTuningConfig = Readonly<z.output<typeof prefixSchema>>;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parsePromptTuningConfig(json: Record<string, unknown>, where: string): PromptTuningConfig {
  return parseFields(promptSchema, json, { where, method: 'prompt tuning' });
}

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parsePTuningConfig(json: Record<string, unknown>, where: string): PTuningConfig {
  return parseFields(pTuningSchema, json, { where, method: 'P-tuning' });
}

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parsePrefixTuningConfig(json: Record<string, unknown>, where: string): PrefixTuningConfig {
  return parseFields(prefixSchema, json, { where, method: 'prefix tuning' });
}

/** The fields that decide what is served: the rest is in the tensor. */
export function promptIdentity(
  config: PromptTuningConfig | PTuningConfig | PrefixTuningConfig,
): Readonly<Record<string, unknown>> {
  return decidingFields(config, ['peft_type', 'num_virtual_tokens']);
}
