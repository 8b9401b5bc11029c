import { z } from 'zod';
import {
  commonFields,
  decidingFields,
  excludeModules,
  fanInFanOut,
  finite,
  flag,
  layerConflicts,
  layerFields,
  noBias,
  numberPattern,
  parseFields,
  targetModules,
  wholeNumber,
} from './config-fields.ts';
import { headModules } from './head-fields.ts';

/** More than the largest layer that is known has numbers would be needed for. */
const MAX_FREQUENCIES = 2 ** 24;
const frequencies = wholeNumber('must be', 1, MAX_FREQUENCIES);

const schema = z.strictObject({
  peft_type: z.literal('FOURIERFT'),
  ...commonFields,
  n_frequency: frequencies.default(1000),
  scaling: finite.default(150),
  // With null, PEFT draws other positions each time that the folder is opened.
  random_loc_seed: wholeNumber('decides where the frequencies stand: must be', 0, Number.MAX_SAFE_INTEGER).default(777),
  fan_in_fan_out: fanInFanOut,
  target_modules: targetModules,
  exclude_modules: excludeModules,
  bias: noBias('fourier_only'),
  modules_to_save: headModules,
  ...layerFields,
  n_frequency_pattern: numberPattern(frequencies),
  init_weights: flag.default(false),
});

/** PEFT's FourierFTConfig. */
export type FourierftConfig = Readonly<z.output<typeof schema>>;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseFourierftConfig(json: Record<string, unknown>, where: string): FourierftConfig {
  return parseFields(schema, json, { where, method: 'FourierFT' }, layerConflicts);
}

/** The fields that decide what is served. */
export function fourierftIdentity(config: FourierftConfig): Readonly<Record<string, unknown>> {
  return decidingFields(config, [
    'peft_type',
    'n_frequency',
    'scaling',
    'random_loc_seed',
    'target_modules',
    'exclude_modules',
    'layers_to_transform',
    'layers_pattern',
    'n_frequency_pattern',
  ]);
}
