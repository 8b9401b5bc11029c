import { z } from 'zod';
import { CLASSIFICATION, CLASSIFIER_MODULES } from '../classifier.ts';
import {
  commonFields,
  decidingFields,
  dropoutShare,
  excludeModules,
  fanInFanOut,
  finite,
  flag,
  layerConflicts,
  layerFields,
  loraBiases,
  none,
  off,
  parseFields,
  patternFields,
  rank,
  someTargetModules,
  spent,
  targetParameters,
  text,
  type FieldMessage,
} from './config-fields.ts';
import { modulesToSave } from './head-fields.ts';
import { tokenIndices } from './token-indices.ts';

const plainInit = z.union([z.boolean(), z.enum(['gaussian', 'eva', 'orthogonal', 'mica'])], {
  error: ({ input }) =>
    /^(?:pissa|olora|corda|loftq|lora_ga)/.test(String(input))
      ? 'is not supported yet (it changes the base weights, which this base does not have): convert the adapter to plain LoRA'
      : 'must be true, false, gaussian, eva, orthogonal or mica',
});

/** The fields of LoRA's config but its type: AdaLoRA has them too. */
export const loraFields = {
  ...commonFields,
  r: rank.default(8),
  lora_alpha: finite.default(8),
  lora_dropout: dropoutShare,
  use_rslora: flag.default(false),
  init_lora_weights: plainInit.default(true),
  target_modules: someTargetModules,
  exclude_modules: excludeModules,
  ...layerFields,
  ...patternFields,
  bias: loraBiases,
  fan_in_fan_out: fanInFanOut,
  use_dora: flag.default(false),
  lora_bias: flag.default(false),
  use_qalora: off('QA-LoRA'),
  use_bdlora: none('BD-LoRA'),
  ensure_weight_tying: flag.default(false),
  modules_to_save: modulesToSave,
  layer_replication: none('repeated layers'),
  target_parameters: targetParameters,
  trainable_token_indices: tokenIndices,
  alora_invocation_tokens: none('activated LoRA'),
  arrow_config: none('Arrow routing'),
  corda_config: none('CorDA'),
  kasa_config: none('KaSA'),
  lora_ga_config: none('LoRA-GA'),
  megatron_config: none('Megatron'),
  monteclora_config: none('MonteCLoRA'),
  velora_config: none('VeLoRA'),
  eva_config: spent,
  loftq_config: z
    .record(z.string(), z.never({ error: 'is not supported yet (LoftQ changes the base weights)' }))
    .nullable()
    .default({})
    .transform(() => ({})),
  megatron_core: text.default('megatron.core'),
  qalora_group_size: z.int({ error: 'must be a whole number' }).default(16),
};

const loraSchema = z.strictObject({ peft_type: z.literal('LORA'), ...loraFields });

/** PEFT's LoRA config with every field; names are PEFT's, since they are the file's. `use_dora` makes it DoRA's. */
export type LoraConfig = Readonly<z.output<typeof loraSchema>>;

/** PEFT's defaults, with the modules that LoRA's paper adapts (PEFT's own choice for Llama). */
export function defaultLoraConfig(): LoraConfig {
  return loraSchema.parse({ peft_type: 'LORA', task_type: 'CAUSAL_LM', target_modules: ['q_proj', 'v_proj'] });
}

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseLoraConfig(json: Record<string, unknown>, where: string): LoraConfig {
  return parseFields(loraSchema, json, { where, method: 'LoRA' }, (config) => [
    ...layerConflicts(config),
    ...biasConflicts(config),
    ...parameterConflicts(config),
  ]);
}

/** What PEFT refuses too. */
function biasConflicts({ lora_bias, use_dora, init_lora_weights: init }: LoraConfig): FieldMessage[] {
  if (!lora_bias) return [];
  if (use_dora) return [{ param: 'lora_bias', message: 'lora_bias cannot be used with use_dora' }];
  return typeof init === 'boolean'
    ? []
    : [{ param: 'lora_bias', message: `lora_bias needs init_lora_weights true or false, got ${init}` }];
}

/** What PEFT refuses too: a parameter is changed whole, so that nothing of its update sees the layer's input or output. */
function parameterConflicts(config: LoraConfig): FieldMessage[] {
  if (config.target_parameters === null) {
    const isNone = Array.isArray(config.target_modules) && config.target_modules.length === 0;
    const message = 'target_modules must have at least one module where there are no target_parameters, got []';
    return isNone ? [{ param: 'target_modules', message }] : [];
  }
  const { lora_dropout, lora_bias, use_dora } = config;
  const refused = { lora_dropout: lora_dropout !== 0, lora_bias, use_dora };
  return Object.entries(refused).flatMap(([param, isSet]): FieldMessage[] =>
    isSet ? [{ param, message: `${param} cannot be used with target_parameters: leave one of them out` }] : [],
  );
}

/** The modules that are saved whole beside a classifier's head, which its task type says. */
function savedBesideHead({ task_type, modules_to_save: saved }: LoraConfig): LoraConfig['modules_to_save'] {
  if (task_type !== CLASSIFICATION || saved === null) return saved;
  const others = saved.filter((name) => !CLASSIFIER_MODULES.includes(name));
  return others.length === 0 ? null : others;
}

/**
 * The fields that decide what a trained LoRA adds. Those that came later are there only when they are set: an adapter keeps its digest
 * when we learn to read more.
 */
export function loraIdentity(config: LoraConfig): Readonly<Record<string, unknown>> {
  const { use_dora, lora_bias, trainable_token_indices } = config;
  const modules_to_save = savedBesideHead(config);
  return {
    ...decidingFields(config, [
      'peft_type',
      'r',
      'lora_alpha',
      'use_rslora',
      'target_modules',
      'exclude_modules',
      'layers_to_transform',
      'layers_pattern',
      'rank_pattern',
      'alpha_pattern',
    ]),
    ...(config.ensure_weight_tying && { ensure_weight_tying: true }),
    ...(modules_to_save !== null && decidingFields({ modules_to_save }, ['modules_to_save'])),
    ...(config.bias !== 'none' && { bias: config.bias }),
    ...(config.target_parameters !== null && decidingFields(config, ['target_parameters'])),
    ...(use_dora && { use_dora }),
    ...(lora_bias && { lora_bias }),
    ...(trainable_token_indices !== null && { trainable_token_indices }),
  };
}
