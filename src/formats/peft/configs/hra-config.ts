import { z } from 'zod';
import {
  commonFields,
  decidingFields,
  excludeModules,
  flag,
  layerConflicts,
  layerFields,
  noBias,
  parseFields,
  rank,
  targetModules,
} from './config-fields.ts';
import { headModules } from './head-fields.ts';

const schema = z.strictObject({
  peft_type: z.literal('HRA'),
  ...commonFields,
  r: rank.default(8),
  apply_GS: flag.default(false),
  target_modules: targetModules,
  exclude_modules: excludeModules,
  init_weights: flag.default(true),
  ...layerFields,
  bias: noBias('hra_only'),
  modules_to_save: headModules,
});

/** PEFT's HRAConfig. */
export type HraConfig = Readonly<z.output<typeof schema>>;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseHraConfig(json: Record<string, unknown>, where: string): HraConfig {
  return parseFields(schema, json, { where, method: 'HRA' }, layerConflicts);
}

/** The fields that decide what is served. */
export function hraIdentity(config: HraConfig): Readonly<Record<string, unknown>> {
  return decidingFields(config, [
    'peft_type',
    'r',
    'apply_GS',
    'target_modules',
    'exclude_modules',
    'layers_to_transform',
    'layers_pattern',
  ]);
}
