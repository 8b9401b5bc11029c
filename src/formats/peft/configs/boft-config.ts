import { z } from 'zod';
import { MAX_RANK } from '../../limits.ts';
import {
  commonFields,
  decidingFields,
  dropoutShare,
  excludeModules,
  fanInFanOut,
  flag,
  layerConflicts,
  layerFields,
  noBias,
  parseFields,
  targetModules,
  wholeNumber,
  type FieldMessage,
} from './config-fields.ts';
import { headModules } from './head-fields.ts';

const schema = z.strictObject({
  peft_type: z.literal('BOFT'),
  ...commonFields,
  boft_block_size: wholeNumber('must be', 0, MAX_RANK).default(4),
  boft_block_num: wholeNumber('must be', 0, MAX_RANK).default(0),
  boft_n_butterfly_factor: z
    .literal(1, { error: 'is not supported yet (PEFT itself has more factors with a CUDA extension only): expected 1' })
    .default(1),
  target_modules: targetModules,
  exclude_modules: excludeModules,
  boft_dropout: dropoutShare,
  fan_in_fan_out: fanInFanOut,
  bias: noBias('boft_only'),
  modules_to_save: headModules,
  init_weights: flag.default(true),
  ...layerFields,
});

/** PEFT's BOFTConfig. */
export type BoftConfig = Readonly<z.output<typeof schema>>;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseBoftConfig(json: Record<string, unknown>, where: string): BoftConfig {
  return parseFields(schema, json, { where, method: 'BOFT' }, (config) => [
    ...layerConflicts(config),
    ...conflicts(config),
  ]);
}

/** What PEFT refuses too. */
function conflicts({ boft_block_size: size, boft_block_num: count }: BoftConfig): FieldMessage[] {
  if ((size === 0) !== (count === 0)) return [];
  const message = `exactly one of boft_block_size and boft_block_num must be above 0, got ${size} and ${count}`;
  return [{ param: 'boft_block_size', message }];
}

/** The fields that decide what is served. */
export function boftIdentity(config: BoftConfig): Readonly<Record<string, unknown>> {
  return decidingFields(config, [
    'peft_type',
    'boft_block_size',
    'boft_block_num',
    'target_modules',
    'exclude_modules',
    'layers_to_transform',
    'layers_pattern',
  ]);
}
