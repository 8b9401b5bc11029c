import { fail } from '../../base/index.ts';
import { isRecord, show } from '../json.ts';
import { CLASSIFICATION, isClassifier } from './classifier.ts';
import { PEFT_VERSION } from './configs/config-fields.ts';
import { adaloraIdentity, parseAdaloraConfig, type AdaloraConfig } from './configs/adalora-config.ts';
import { boftIdentity, parseBoftConfig, type BoftConfig } from './configs/boft-config.ts';
import { fourierftIdentity, parseFourierftConfig, type FourierftConfig } from './configs/fourierft-config.ts';
import { hraIdentity, parseHraConfig, type HraConfig } from './configs/hra-config.ts';
import { ia3Identity, parseIa3Config, type Ia3Config } from './configs/ia3-config.ts';
import { loraIdentity, parseLoraConfig, type LoraConfig } from './configs/lora-config.ts';
import { lnTuningIdentity, parseLnTuningConfig, type LnTuningConfig } from './configs/ln-tuning-config.ts';
import {
  lohaIdentity,
  lokrIdentity,
  parseLohaConfig,
  parseLokrConfig,
  type LohaConfig,
  type LokrConfig,
} from './configs/lycoris-config.ts';
import { missIdentity, parseMissConfig, type MissConfig } from './configs/miss-config.ts';
import { oftIdentity, parseOftConfig, type OftConfig } from './configs/oft-config.ts';
import {
  parsePrefixTuningConfig,
  parsePromptTuningConfig,
  parsePTuningConfig,
  promptIdentity,
  type PrefixTuningConfig,
  type PromptTuningConfig,
  type PTuningConfig,
} from './configs/prompt-config.ts';
import {
  parseTrainableTokensConfig,
  trainableTokensIdentity,
  type TrainableTokensConfig,
} from './configs/trainable-tokens-config.ts';
import { parseRandloraConfig, randloraIdentity, type RandloraConfig } from './configs/randlora-config.ts';
import { parseVbloraConfig, vbloraIdentity, type VbloraConfig } from './configs/vblora-config.ts';
import { parseVeraConfig, veraIdentity, type VeraConfig } from './configs/vera-config.ts';

/** Configs of methods that change linear layers: they choose modules by `target_modules`. */
export type ModuleConfig =
  | LoraConfig
  | AdaloraConfig
  | Ia3Config
  | VeraConfig
  | LohaConfig
  | LokrConfig
  | OftConfig
  | BoftConfig
  | HraConfig
  | MissConfig
  | FourierftConfig
  | RandloraConfig
  | VbloraConfig;

/** Configs of virtual tokens, which stand before the prompt. */
export type PromptConfig = PromptTuningConfig | PTuningConfig | PrefixTuningConfig;

/** Any `adapter_config.json` that is supported; `peft_type` tells which. A further method is a further member. */
export type PeftConfig = ModuleConfig | PromptConfig | TrainableTokensConfig | LnTuningConfig;

export type PeftType = PeftConfig['peft_type'];

interface ConfigForm {
  parse(json: Record<string, unknown>, where: string): PeftConfig;
  /** Gets configs that `parse` made. */
  identity(config: PeftConfig): Readonly<Record<string, unknown>>;
}

/** One line a method. */
const FORMS: Readonly<Record<PeftType, ConfigForm>> = {
  LORA: { parse: parseLoraConfig, identity: loraIdentity },
  ADALORA: { parse: parseAdaloraConfig, identity: adaloraIdentity },
  IA3: { parse: parseIa3Config, identity: ia3Identity },
  VERA: { parse: parseVeraConfig, identity: veraIdentity },
  LOHA: { parse: parseLohaConfig, identity: lohaIdentity },
  LOKR: { parse: parseLokrConfig, identity: lokrIdentity },
  OFT: { parse: parseOftConfig, identity: oftIdentity },
  BOFT: { parse: parseBoftConfig, identity: boftIdentity },
  HRA: { parse: parseHraConfig, identity: hraIdentity },
  MISS: { parse: parseMissConfig, identity: missIdentity },
  FOURIERFT: { parse: parseFourierftConfig, identity: fourierftIdentity },
  RANDLORA: { parse: parseRandloraConfig, identity: randloraIdentity },
  VBLORA: { parse: parseVbloraConfig, identity: vbloraIdentity },
  PROMPT_TUNING: { parse: parsePromptTuningConfig, identity: promptIdentity },
  P_TUNING: { parse: parsePTuningConfig, identity: promptIdentity },
  PREFIX_TUNING: { parse: parsePrefixTuningConfig, identity: promptIdentity },
  LN_TUNING: { parse: parseLnTuningConfig, identity: lnTuningIdentity },
  TRAINABLE_TOKENS: { parse: parseTrainableTokensConfig, identity: trainableTokensIdentity },
};

/** The `peft_type`s that are read. */
const PEFT_TYPES = Object.keys(FORMS) as readonly PeftType[];

/** The other values of PEFT 0.21.2's `peft_type`: known, so that the error can say "not yet" instead of "unknown". */
const OTHER_TYPES =
  'MULTITASK_PROMPT_TUNING ADAMSS ADAPTION_PROMPT BEFT LILY POLY FROD PVERA GLORA XLORA ' +
  'UNILORA CPT ROAD HIRA SHIRA C3A WAVEFT OSF DELORA GRALORA CARTRIDGE TINYLORA PSOFT PEANUT SHADOW SUPERTUNING DEFT';

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
  const known = PEFT_TYPES.join('|');
  const { peft_type: type } = json;
  if (type === undefined) refuse(`peft_type is missing, expected ${known}`, 'peft_type');
  const supported = PEFT_TYPES.find((name) => name === type);
  if (supported !== undefined) return FORMS[supported].parse(json, where);
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
  const own = FORMS[config.peft_type].identity(config);
  return isClassifier(config) ? { ...own, task_type: CLASSIFICATION } : own;
}

/** Places of the context that an adapter's virtual tokens take, of every sequence. */
export function numVirtualTokens(config: object): number {
  return 'num_virtual_tokens' in config ? Number(config.num_virtual_tokens) : 0;
}
