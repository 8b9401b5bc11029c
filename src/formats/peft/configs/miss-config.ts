import { z } from 'zod';
import {
  commonFields,
  decidingFields,
  dropoutShare,
  excludeModules,
  layerConflicts,
  layerFields,
  noBias,
  parseFields,
  rank,
  targetModules,
} from './config-fields.ts';
import { headModules } from './head-fields.ts';

const schema = z.strictObject({
  peft_type: z.literal('MISS'),
  ...commonFields,
  r: rank.default(64),
  miss_dropout: dropoutShare,
  mini_r: rank.default(1),
  target_modules: targetModules,
  exclude_modules: excludeModules,
  // Not only a first value: `bat` and `mini` are other forms of the update.
  init_weights: z
    .union([z.boolean(), z.enum(['bat', 'mini'])], { error: 'must be true, false, "bat" or "mini"' })
    .default(true),
  ...layerFields,
  bias: noBias('MiSS_only'),
  modules_to_save: headModules,
});

/** PEFT's MissConfig. */
export type MissConfig = Readonly<z.output<typeof schema>>;

/** The form of the update, which PEFT reads from `init_weights`. */
export function missForm({ init_weights: init }: MissConfig): 'balance' | 'bat' | 'mini' {
  return typeof init === 'boolean' ? 'balance' : init;
}

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseMissConfig(json: Record<string, unknown>, where: string): MissConfig {
  return parseFields(schema, json, { where, method: 'MiSS' }, layerConflicts);
}

/** The fields that decide what is served. */
export function missIdentity(config: MissConfig): Readonly<Record<string, unknown>> {
  const form = missForm(config);
  return {
    ...decidingFields(config, [
      'peft_type',
      'r',
      'target_modules',
      'exclude_modules',
      'layers_to_transform',
      'layers_pattern',
    ]),
    form,
    ...(form === 'mini' && { mini_r: config.mini_r }),
  };
}
