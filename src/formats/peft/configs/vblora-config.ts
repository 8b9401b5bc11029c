import { z } from 'zod';
import {
  commonFields,
  decidingFields,
  dropoutShare,
  excludeModules,
  fanInFanOut,
  finite,
  layerConflicts,
  layerFields,
  noBias,
  off,
  parseFields,
  rank,
  targetModules,
  wholeNumber,
  type FieldMessage,
} from './config-fields.ts';
import { headModules } from './head-fields.ts';

const MAX_BANK_SIDE = 2 ** 16;
const side = wholeNumber('must be', 1, MAX_BANK_SIDE);

const schema = z.strictObject({
  peft_type: z.literal('VBLORA'),
  ...commonFields,
  r: rank.default(4),
  num_vectors: side.default(256),
  vector_length: side.default(256),
  topk: side.default(2),
  target_modules: targetModules,
  exclude_modules: excludeModules,
  save_only_topk_weights: off('weights and positions of the chosen vectors instead of the logits'),
  vblora_dropout: dropoutShare,
  fan_in_fan_out: fanInFanOut,
  bias: noBias('vblora_only'),
  modules_to_save: headModules,
  init_vector_bank_bound: finite.default(0.02),
  init_logits_std: finite.default(0.1),
  ...layerFields,
});

/** PEFT's VBLoRAConfig. */
export type VbloraConfig = Readonly<z.output<typeof schema>>;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseVbloraConfig(json: Record<string, unknown>, where: string): VbloraConfig {
  return parseFields(schema, json, { where, method: 'VB-LoRA' }, (config) => [
    ...layerConflicts(config),
    ...conflicts(config),
  ]);
}

function conflicts({ topk, num_vectors: count }: VbloraConfig): FieldMessage[] {
  if (topk <= count) return [];
  return [{ param: 'topk', message: `topk is ${topk}, expected at most num_vectors, ${count}` }];
}

/** The fields that decide what is served. */
export function vbloraIdentity(config: VbloraConfig): Readonly<Record<string, unknown>> {
  return decidingFields(config, [
    'peft_type',
    'r',
    'num_vectors',
    'vector_length',
    'topk',
    'target_modules',
    'exclude_modules',
    'layers_to_transform',
    'layers_pattern',
  ]);
}
