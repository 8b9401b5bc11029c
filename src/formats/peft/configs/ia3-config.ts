import { z } from 'zod';
import {
  commonFields,
  decidingFields,
  excludeModules,
  fanInFanOut,
  feedforwardModules,
  flag,
  parseFields,
  targetModules,
  type FieldMessage,
} from './config-fields.ts';
import { headModules } from './head-fields.ts';

const schema = z.strictObject({
  peft_type: z.literal('IA3'),
  ...commonFields,
  target_modules: targetModules,
  exclude_modules: excludeModules,
  feedforward_modules: feedforwardModules,
  fan_in_fan_out: fanInFanOut,
  modules_to_save: headModules,
  init_ia3_weights: flag.default(true),
});

/** PEFT's IA3Config. `feedforward_modules` are those whose input is scaled instead of their output. */
export type Ia3Config = Readonly<z.output<typeof schema>>;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseIa3Config(json: Record<string, unknown>, where: string): Ia3Config {
  return parseFields(schema, json, { where, method: 'IA3' }, conflicts);
}

/** What PEFT refuses too. */
function conflicts({ target_modules: targets, feedforward_modules: feedforward }: Ia3Config): FieldMessage[] {
  if (typeof targets === 'string' || typeof feedforward === 'string') return [];
  return feedforward
    .filter((name) => !targets.includes(name))
    .map((name) => ({
      param: 'feedforward_modules',
      message: `feedforward_modules has ${JSON.stringify(name)}, which target_modules has not`,
    }));
}

/** The fields that decide what is served. */
export function ia3Identity(config: Ia3Config): Readonly<Record<string, unknown>> {
  return decidingFields(config, ['peft_type', 'target_modules', 'exclude_modules', 'feedforward_modules']);
}
