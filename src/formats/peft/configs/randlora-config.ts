import { z } from 'zod';
import {
  commonFields,
  decidingFields,
  dropoutShare,
  fanInFanOut,
  finite,
  flag,
  layerConflicts,
  layerFields,
  noBias,
  parseFields,
  rank,
  savedProjection,
  targetModules,
} from './config-fields.ts';
import { headModules } from './head-fields.ts';

const schema = z.strictObject({
  peft_type: z.literal('RANDLORA'),
  ...commonFields,
  r: rank.default(32),
  target_modules: targetModules,
  ...savedProjection('randlora_A and randlora_B'),
  sparse: flag.default(false),
  very_sparse: flag.default(false),
  randlora_dropout: dropoutShare,
  fan_in_fan_out: fanInFanOut,
  randlora_alpha: finite.default(640),
  bias: noBias('randlora_only'),
  modules_to_save: headModules,
  init_weights: flag.default(true),
  ...layerFields,
});

/** PEFT's RandLoraConfig. */
export type RandloraConfig = Readonly<z.output<typeof schema>>;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseRandloraConfig(json: Record<string, unknown>, where: string): RandloraConfig {
  return parseFields(schema, json, { where, method: 'RandLoRA' }, layerConflicts);
}

/** The fields that decide what is served. */
export function randloraIdentity(config: RandloraConfig): Readonly<Record<string, unknown>> {
  return decidingFields(config, [
    'peft_type',
    'r',
    'randlora_alpha',
    'target_modules',
    'layers_to_transform',
    'layers_pattern',
  ]);
}
