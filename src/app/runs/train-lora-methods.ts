/** Methods whose config is LoRA's. */
import type { MethodForm, MethodOptions } from './train-methods.ts';
import { namesIn, tokenIdsIn } from './train-part-methods.ts';

/** Their options beside those of all low-rank methods. */
export interface LoraMethodOptions {
  readonly rslora?: boolean | undefined;
  readonly loraBias?: boolean | undefined;
  /** Biases of the base that are trained beside a LoRA: `none`, `all`, or `lora_only`, those of adapted layers. */
  readonly bias?: string | undefined;
  /** Names of weights that a LoRA adapts by their own names, separated by commas; without `targets` they are all that it adapts. */
  readonly targetParameters?: string | undefined;
  /** Trains an embedding and a head that are one matrix in the base as one. */
  readonly ensureWeightTying?: boolean | undefined;
}

const LOW_RANK = {
  targets: 'attention',
  rank: 8,
  alpha: 16,
  dropout: 0,
  rslora: false,
  bias: 'none',
  ensureWeightTying: false,
  tokens: null,
  modulesToSave: null,
} as const;
const loraFields = ({
  rank,
  alpha,
  dropout,
  rslora,
  bias,
  targetParameters,
  ensureWeightTying,
  tokens,
  modulesToSave,
}: MethodOptions) => ({
  peft_type: 'LORA',
  r: rank,
  lora_alpha: alpha,
  lora_dropout: dropout,
  use_rslora: rslora,
  bias,
  target_parameters: targetParameters === undefined ? null : namesIn(targetParameters),
  ensure_weight_tying: ensureWeightTying,
  modules_to_save: modulesToSave === undefined ? null : namesIn(modulesToSave),
  trainable_token_indices: tokens === undefined ? null : tokenIdsIn(tokens),
});

export const LORA_FORMS = {
  lora: {
    defaults: { ...LOW_RANK, loraBias: false, targetParameters: null },
    fields: (options) => ({ ...loraFields(options), lora_bias: options.loraBias }),
  },
  // On a base in NF4, which the run sees to.
  qlora: {
    defaults: { ...LOW_RANK, loraBias: false, targetParameters: null },
    fields: (options) => ({ ...loraFields(options), lora_bias: options.loraBias }),
  },
  dora: {
    defaults: LOW_RANK,
    fields: (options) => ({ ...loraFields(options), use_dora: true }),
  },
} as const satisfies Record<string, MethodForm>;
