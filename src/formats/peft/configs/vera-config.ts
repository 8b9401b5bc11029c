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
  peft_type: z.literal('VERA'),
  ...commonFields,
  r: rank.default(256),
  target_modules: targetModules,
  ...savedProjection('vera_A and vera_B'),
  vera_dropout: dropoutShare,
  d_initial: finite.default(0.1),
  fan_in_fan_out: fanInFanOut,
  bias: noBias('vera_only'),
  modules_to_save: headModules,
  init_weights: flag.default(true),
  ...layerFields,
});

/** PEFT's VeraConfig. */
export type VeraConfig = Readonly<z.output<typeof schema>>;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseVeraConfig(json: Record<string, unknown>, where: string): VeraConfig {
  return parseFields(schema, json, { where, method: 'VeRA' }, layerConflicts);
}

/** The fields that decide what is served. */
export function veraIdentity(config: VeraConfig): Readonly<Record<string, unknown>> {
  return decidingFields(config, ['peft_type', 'r', 'target_modules', 'layers_to_transform', 'layers_pattern']);
}
