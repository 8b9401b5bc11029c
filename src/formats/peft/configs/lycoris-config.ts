import { z } from 'zod';
import {
  commonFields,
  decidingFields,
  dropoutShare,
  excludeModules,
  finite,
  flag,
  layerConflicts,
  layerFields,
  parseFields,
  patternFields,
  rank,
  targetModules,
} from './config-fields.ts';
import { headModules } from './head-fields.ts';

/** The fields that LoHa and LoKr share. `use_effective_conv2d` means nothing to a linear layer. */
const lycorisFields = {
  ...commonFields,
  r: rank.default(8),
  alpha: finite.default(8),
  rank_dropout: dropoutShare,
  module_dropout: dropoutShare,
  use_effective_conv2d: flag.default(false),
  target_modules: targetModules,
  exclude_modules: excludeModules,
  ...layerFields,
  ...patternFields,
  modules_to_save: headModules,
};

const lohaSchema = z.strictObject({
  peft_type: z.literal('LOHA'),
  ...lycorisFields,
  init_weights: flag.default(true),
});

const FACTOR = { error: 'must be -1 or a whole number from 1' };

const lokrSchema = z.strictObject({
  peft_type: z.literal('LOKR'),
  ...lycorisFields,
  decompose_both: flag.default(false),
  decompose_factor: z
    .int(FACTOR)
    .refine((factor) => factor === -1 || factor >= 1, FACTOR)
    .default(-1),
  rank_dropout_scale: flag.default(false),
  init_weights: z
    .union([z.boolean(), z.literal('lycoris')], { error: 'must be true, false or "lycoris"' })
    .default(true),
});

/** PEFT's LoHaConfig. */
export type LohaConfig = Readonly<z.output<typeof lohaSchema>>;
/** PEFT's LoKrConfig. */
export type LokrConfig = Readonly<z.output<typeof lokrSchema>>;

const IDENTITY = [
  'peft_type',
  'r',
  'alpha',
  'target_modules',
  'exclude_modules',
  'layers_to_transform',
  'layers_pattern',
  'rank_pattern',
  'alpha_pattern',
] as const;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseLohaConfig(json: Record<string, unknown>, where: string): LohaConfig {
  return parseFields(lohaSchema, json, { where, method: 'LoHa' }, layerConflicts);
}

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseLokrConfig(json: Record<string, unknown>, where: string): LokrConfig {
  return parseFields(lokrSchema, json, { where, method: 'LoKr' }, layerConflicts);
}

/** The fields that decide what is served. */
export function lohaIdentity(config: LohaConfig): Readonly<Record<string, unknown>> {
  return decidingFields(config, IDENTITY);
}

/** The fields that decide what is served. */
export function lokrIdentity(config: LokrConfig): Readonly<Record<string, unknown>> {
  return decidingFields(config, [...IDENTITY, 'decompose_both', 'decompose_factor']);
}
