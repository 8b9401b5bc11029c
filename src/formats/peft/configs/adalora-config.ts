import { z } from 'zod';
import { MAX_PATTERN_ENTRIES, MAX_RANK } from '../../limits.ts';
import {
  decidingFields,
  finite,
  layerConflicts,
  noBias,
  none,
  numberPattern,
  off,
  parseFields,
  rank,
  targetModules,
  wholeNumber,
  type FieldMessage,
} from './config-fields.ts';
import { headModules } from './head-fields.ts';
import { loraFields } from './lora-config.ts';

const steps = wholeNumber('must be', 0, Number.MAX_SAFE_INTEGER).default(0);
const SHARE = { error: 'must be a number between 0 and 1' };
const share = z.number(SHARE).gt(0, SHARE).lt(1, SHARE).default(0.85);
const MASKS = { error: 'must be an object of lists of true and false, or null' };

const schema = z.strictObject({
  ...loraFields,
  peft_type: z.literal('ADALORA'),
  modules_to_save: headModules,
  target_r: wholeNumber('must be', 0, MAX_RANK).default(8),
  init_r: rank.default(12),
  tinit: steps,
  tfinal: steps,
  deltaT: wholeNumber('must be', 1, Number.MAX_SAFE_INTEGER).default(1),
  beta1: share,
  beta2: share,
  orth_reg_weight: finite.min(0, { error: 'must be a number from 0' }).default(0.5),
  total_step: wholeNumber('must be', 1, Number.MAX_SAFE_INTEGER),
  // Which of the first ranks were kept: the tensors have these alone.
  rank_pattern: z
    .record(z.string(), z.array(z.boolean(MASKS), MASKS).max(MAX_RANK, MASKS), MASKS)
    .refine((masks) => Object.keys(masks).length <= MAX_PATTERN_ENTRIES, MASKS)
    .nullable()
    .default(null),
  alpha_pattern: numberPattern(finite).refine((entries) => Object.keys(entries).length === 0, {
    error: 'has no effect on an AdaLoRA: expected none',
  }),
  use_rslora: off('AdaLoRA has a scale of its own'),
  use_dora: off('AdaLoRA has no magnitudes'),
  lora_bias: off('a bias on lora_B'),
  bias: noBias('lora_only'),
  target_modules: targetModules,
  target_parameters: none('parameters instead of modules'),
  trainable_token_indices: z.null({ error: 'is not supported yet: expected null' }).default(null),
});

/** PEFT's AdaLoraConfig. `r` is LoRA's and has no effect; the ranks are `init_r`, and `target_r` on average in the end. */
export type AdaloraConfig = Readonly<z.output<typeof schema>>;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseAdaloraConfig(json: Record<string, unknown>, where: string): AdaloraConfig {
  return parseFields(schema, json, { where, method: 'AdaLoRA' }, (config) => [
    ...layerConflicts(config),
    ...conflicts(config),
  ]);
}

/** What PEFT refuses too. */
function conflicts({ tinit, tfinal, total_step: total, target_r, init_r }: AdaloraConfig): FieldMessage[] {
  const messages: FieldMessage[] = [];
  if (tinit >= total - tfinal) {
    const message = `tinit ${tinit} and tfinal ${tfinal} leave none of the ${total} steps (total_step) for the budget to fall`;
    messages.push({ param: 'tinit', message });
  }
  if (target_r > init_r) {
    messages.push({ param: 'target_r', message: `target_r is ${target_r}, expected at most init_r, ${init_r}` });
  }
  return messages;
}

/** The key of a module in `rank_pattern`. */
export const rankPatternKey = (path: string): string => `${path}.lora_E`;

/** How many of a module's ranks the tensors have. */
export function adaloraRank({ rank_pattern: masks, init_r }: AdaloraConfig, path: string): number {
  return masks?.[rankPatternKey(path)]?.filter((isKept) => isKept).length ?? init_r;
}

/** The fields that decide what is served: the scale stays that of the first rank. */
export function adaloraIdentity(config: AdaloraConfig): Readonly<Record<string, unknown>> {
  return decidingFields(config, [
    'peft_type',
    'init_r',
    'lora_alpha',
    'target_modules',
    'exclude_modules',
    'layers_to_transform',
    'layers_pattern',
  ]);
}
