import { fail } from '../../base/index.ts';
import { loraIdentity, parseLoraConfig, PEFT_VERSION, type LoraConfig } from './peft-lora-config.ts';
import { isRecord, show } from '../json.ts';

/** Any `adapter_config.json` that is supported; `peft_type` tells which. A further method is a further member. */
export type PeftConfig = LoraConfig;

type ConfigParser = (json: Record<string, unknown>, where: string) => PeftConfig;

const PARSERS: Readonly<Record<PeftConfig['peft_type'], ConfigParser>> = { LORA: parseLoraConfig };

/** The other values of PEFT 0.21.2's `peft_type`: known, so that the error can say "not yet" instead of "unknown". */
const OTHER_TYPES =
  'PROMPT_TUNING MULTITASK_PROMPT_TUNING P_TUNING PREFIX_TUNING ADALORA ADAMSS BOFT ADAPTION_PROMPT IA3 BEFT LILY LOHA LOKR OFT POLY ' +
  'LN_TUNING VERA FROD PVERA FOURIERFT GLORA XLORA HRA VBLORA UNILORA CPT MISS RANDLORA ROAD TRAINABLE_TOKENS HIRA SHIRA C3A WAVEFT ' +
  'OSF DELORA GRALORA CARTRIDGE TINYLORA PSOFT PEANUT SHADOW SUPERTUNING DEFT';

/**
 * Checks the JSON of an `adapter_config.json` as PEFT 0.21.2 writes it. A field that is missing has PEFT's default; one that is
 * unknown, or that would change the maths in a way that is not supported, is refused by name.
 * @param where names the file in errors
 * @throws ADAPTER_INVALID with one problem for each field that is wrong
 */
export function parsePeftConfig(json: unknown, where: string): PeftConfig {
  const refuse = (message: string, param?: string): never =>
    fail('ADAPTER_INVALID', `${where}: ${message}`, { ...(param && { param }), problems: [{ where, message }] });
  if (!isRecord(json)) return refuse(`is ${show(json)}, expected an object`);
  const known = Object.keys(PARSERS).join('|');
  const { peft_type: type } = json;
  if (type === undefined) refuse(`peft_type is missing, expected ${known}`, 'peft_type');
  if (typeof type === 'string' && Object.hasOwn(PARSERS, type)) {
    return PARSERS[type as PeftConfig['peft_type']](json, where);
  }
  const isKnown = typeof type === 'string' && OTHER_TYPES.split(' ').includes(type);
  return refuse(
    `peft_type ${show(type)} is ${isKnown ? 'not supported yet' : 'unknown'}, expected ${known}`,
    'peft_type',
  );
}

/**
 * The text that PEFT's `save_pretrained` writes: every field, sorted, indented by 2, `inference_mode` true. Only the fields are sorted:
 * in rank_pattern and alpha_pattern the first key that matches wins.
 */
export function peftConfigText(config: PeftConfig): string {
  const fields = Object.entries({ ...config, inference_mode: true, peft_version: PEFT_VERSION });
  return JSON.stringify(Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1))), null, 2);
}

/**
 * What of a config decides the adapter's answers, for its digest: not its name of the base, not who wrote it with which version, not
 * what only training uses. Equal for a config and for what {@link parsePeftConfig} makes of its text.
 */
export function configIdentity(config: PeftConfig): Readonly<Record<string, unknown>> {
  return loraIdentity(config);
}
