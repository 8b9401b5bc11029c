import { z } from 'zod';
import { commonFields, decidingFields, excludeModules, parseFields, targetModules } from './config-fields.ts';
import { headModules } from './head-fields.ts';

const schema = z.strictObject({
  peft_type: z.literal('LN_TUNING'),
  ...commonFields,
  target_modules: targetModules,
  exclude_modules: excludeModules,
  modules_to_save: headModules,
});

/** PEFT's LNTuningConfig: norms whose gains are replaced by trained ones. */
export type LnTuningConfig = Readonly<z.output<typeof schema>>;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseLnTuningConfig(json: Record<string, unknown>, where: string): LnTuningConfig {
  return parseFields(schema, json, { where, method: 'LN tuning' });
}

/** The fields that decide what is served. */
export function lnTuningIdentity(config: LnTuningConfig): Readonly<Record<string, unknown>> {
  return decidingFields(config, ['peft_type', 'target_modules', 'exclude_modules']);
}
