import { z } from 'zod';
import { MAX_RANK } from '../../limits.ts';
import {
  commonFields,
  decidingFields,
  dropoutShare,
  excludeModules,
  fanInFanOut,
  finite,
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

/** A skew matrix of norm 1 has terms below 2⁻²⁴ long before that. */
const MAX_NEUMANN_TERMS = 64;

const schema = z.strictObject({
  peft_type: z.literal('OFT'),
  ...commonFields,
  r: wholeNumber('must be', 0, MAX_RANK).default(0),
  // Folders of PEFT before 0.14 lack this field and hold other parameters.
  oft_block_size: wholeNumber('must be', 0, MAX_RANK),
  module_dropout: dropoutShare,
  target_modules: targetModules,
  fan_in_fan_out: fanInFanOut,
  bias: noBias('oft_only'),
  exclude_modules: excludeModules,
  init_weights: flag.default(true),
  ...layerFields,
  modules_to_save: headModules,
  coft: flag.default(false),
  eps: finite.default(6e-5),
  block_share: flag.default(false),
  use_cayley_neumann: flag.default(true),
  num_cayley_neumann_terms: wholeNumber('must be', 1, MAX_NEUMANN_TERMS).default(5),
});

/** PEFT's OFTConfig. */
export type OftConfig = Readonly<z.output<typeof schema>>;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseOftConfig(json: Record<string, unknown>, where: string): OftConfig {
  return parseFields(schema, json, { where, method: 'OFT' }, (config) => [
    ...layerConflicts(config),
    ...conflicts(config),
  ]);
}

function conflicts({ r, oft_block_size: blockSize, use_cayley_neumann, peft_version }: OftConfig): FieldMessage[] {
  const messages: FieldMessage[] = [];
  if ((r === 0) === (blockSize === 0)) {
    messages.push({
      param: 'oft_block_size',
      message: `exactly one of r and oft_block_size must be above 0, got ${r} and ${blockSize}`,
    });
  }
  if (use_cayley_neumann && !isFrom018(peft_version)) {
    messages.push({
      param: 'peft_version',
      message: `peft_version is ${peft_version ?? 'missing'}: before 0.18.0 use_cayley_neumann meant another series, save the adapter with a newer PEFT`,
    });
  }
  return messages;
}

function isFrom018(version: string | null): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  return major !== undefined && minor !== undefined && (Number(major) > 0 || Number(minor) >= 18);
}

/** The fields that decide what is served. */
export function oftIdentity(config: OftConfig): Readonly<Record<string, unknown>> {
  const { coft, eps, use_cayley_neumann, num_cayley_neumann_terms: terms } = config;
  return {
    ...decidingFields(config, [
      'peft_type',
      'r',
      'oft_block_size',
      'target_modules',
      'exclude_modules',
      'layers_to_transform',
      'layers_pattern',
      'block_share',
    ]),
    constraint: coft ? eps : null,
    neumannTerms: use_cayley_neumann ? terms : null,
  };
}
