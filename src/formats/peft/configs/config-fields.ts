/** What the configs of PEFT's methods have in common: their shared fields, and how a wrong one is refused. */
import { z } from 'zod';
import { fail, type Problem } from '../../../base/index.ts';
import { compareText } from '../../digest.ts';
import { isPlainRelative } from '../../folder.ts';
import { show } from '../../json.ts';
import { MAX_MODULE_NAMES, MAX_PATTERN_ENTRIES, MAX_RANK } from '../../limits.ts';
import { headConflicts, taskType } from './head-fields.ts';

/** The PEFT release whose fields and defaults these are. */
export const PEFT_VERSION = '0.21.2';

/** For a field that changes the maths: only the value that switches it off is taken. */
export const off = (why: string) =>
  z.literal(false, { error: `is not supported yet (${why}): expected false` }).default(false);
export const fanInFanOut = off('weights of Conv1D layers are stored transposed');
export const none = (why: string) => z.null({ error: `is not supported yet (${why}): expected null` }).default(null);

export const flag = z.boolean({ error: 'must be true or false' });
export const text = z.string({ error: 'must be a text or null' }).nullable().default(null);
export const wholeNumber = (what: string, min: number, max: number) => {
  const error = `${what} a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};
export const finite = z.number({ error: 'must be a finite number' });

/** A probability of training: of no effect on what is served. */
const SHARE = { error: 'must be a number from 0 to below 1' };
export const dropoutShare = z.number(SHARE).min(0, SHARE).lt(1, SHARE).default(0);

export const rank = wholeNumber('must be', 1, MAX_RANK);

const moduleNames = z
  .array(z.string({ error: 'must be the name of a module' }).min(1, { error: 'must be the name of a module' }))
  .max(MAX_MODULE_NAMES, { error: `has more than ${MAX_MODULE_NAMES} names` });

const TARGETS = { error: 'must be a list of at least one module name, a regular expression, or "all-linear"' };
const LAYERS = { error: `must be a layer's number, a list of at most ${MAX_MODULE_NAMES} of them, or null` };
const layerNumber = z.int(LAYERS).min(0, LAYERS);

export const targetModules = z.union([z.string().min(1, TARGETS), moduleNames.min(1, TARGETS)], TARGETS);
/** The same of a method that can choose parameters instead: then the list may be empty. */
export const someTargetModules = z.union([z.string().min(1, TARGETS), moduleNames], TARGETS);
const PARAMETERS = {
  error: 'must be a list of names of parameters, such as self_attn.q_proj.weight, or null',
};
/** Parameters that are adapted beside modules, or instead of them. An empty list is PEFT's null. */
export const targetParameters = z
  .array(z.string(PARAMETERS).min(1, PARAMETERS), PARAMETERS)
  .max(MAX_MODULE_NAMES, { error: `has more than ${MAX_MODULE_NAMES} names` })
  .nullable()
  .default(null)
  .transform((names) => (names === null || names.length === 0 ? null : names));
export const excludeModules = z
  .union([z.string(), moduleNames], { error: 'must be a list of module names, a regular expression, or null' })
  .nullable()
  .default(null);
export const feedforwardModules = z.union([z.string(), moduleNames], {
  error: 'must be a list of module names (an empty one for none) or a regular expression',
});

/** The choice of layers, of the methods that have it. */
export const layerFields = {
  layers_to_transform: z
    .union([layerNumber, z.array(layerNumber).max(MAX_MODULE_NAMES, LAYERS)], LAYERS)
    .nullable()
    .default(null),
  layers_pattern: z
    .union([z.string(), moduleNames], { error: 'must be a name, a list of names, or null' })
    .nullable()
    .default(null),
};

/** A per-module value by a regular expression. Null is PEFT's older way to say none. */
export const numberPattern = (value: z.ZodNumber | z.ZodInt) =>
  z
    .record(z.string(), value, { error: 'must be an object of numbers' })
    .refine((entries) => Object.keys(entries).length <= MAX_PATTERN_ENTRIES, {
      error: `has more than ${MAX_PATTERN_ENTRIES} entries`,
    })
    .nullable()
    .default({})
    .transform((entries): Readonly<Record<string, number>> => entries ?? {});

export const patternFields = { rank_pattern: numberPattern(rank), alpha_pattern: numberPattern(finite) };

/** Settings of an initialisation that leaves ordinary weights behind: of no effect once these are there. */
export const spent = z.record(z.string(), z.unknown(), { error: 'must be an object or null' }).nullable().default(null);

/** Trained biases of the base's layers, of a method that does not train them yet. @param own PEFT's name for those of adapted layers only */
export const noBias = (own: string) =>
  z
    .enum(['none', 'all', own], { error: `must be one of none|all|${own}` })
    .refine((bias) => bias === 'none', { error: 'is not supported yet: expected "none"' })
    .default('none')
    .transform(() => 'none' as const);

/** Matrices that all layers share: only saved ones, since the other way is to draw them by `projection_prng_key`. @param tensors their names */
export const savedProjection = (tensors: string) => ({
  projection_prng_key: z.int({ error: 'must be a whole number' }).default(0),
  save_projection: z
    .literal(true, {
      error: `is not supported yet (${tensors} would have to be drawn as PyTorch draws them): save with save_projection true`,
    })
    .default(true),
});
/** LoRA's choice of biases of the base that are trained too: every one, or those of adapted layers. */
export const loraBiases = z
  .enum(['none', 'all', 'lora_only'], { error: 'must be one of none|all|lora_only' })
  .default('none');

const baseName = z
  .string({ error: 'must be the name of a base model or null' })
  .refine(
    (name) => name === '' || (isPlainRelative(name) && !/^[a-z][a-z0-9+.-]*:/i.test(name) && !name.startsWith('~')),
    {
      error:
        'must be the name of a base model (such as ORGANISATION/NAME), not a path or an address: the base is never opened by it',
    },
  )
  .nullable()
  .default(null);

/** The fields of every config. */
export const commonFields = {
  auto_mapping: spent,
  base_model_name_or_path: baseName,
  inference_mode: flag.default(false),
  peft_version: text,
  revision: text,
  task_type: taskType,
};

/** A field that is wrong, and why. */
export interface FieldMessage {
  readonly param: string;
  readonly message: string;
}

/**
 * The fields of a config by its schema.
 * @param method names the config in errors: `LoRA`
 * @param conflicts settings that cannot go together
 * @throws ADAPTER_INVALID with one problem for each field that is wrong
 */
export function parseFields<Config extends object>(
  schema: z.ZodType<Config>,
  json: Record<string, unknown>,
  { where, method }: { readonly where: string; readonly method: string },
  conflicts: (config: Config) => readonly FieldMessage[] = () => [],
): Config {
  const parsed = schema.safeParse(json);
  const messages = parsed.success
    ? [...headConflicts(parsed.data), ...conflicts(parsed.data)]
    : parsed.error.issues.flatMap((issue) => describe(issue, json, method));
  const [first] = messages;
  if (parsed.success && first === undefined) return parsed.data;
  const problems: Problem[] = messages.map(({ message }) => ({ where, message }));
  return fail('ADAPTER_INVALID', messages.map(({ message }) => `${where}: ${message}`).join('\n'), {
    ...(first && { param: first.param }),
    problems,
  });
}

function describe(issue: z.core.$ZodIssue, json: Record<string, unknown>, method: string): FieldMessage[] {
  if (issue.code === 'unrecognized_keys') {
    const kind = `${/^[AEIO]/.test(method) ? 'an' : 'a'} ${method} config`;
    return issue.keys.map((key) => ({
      param: key,
      message: `${key} is not a field of ${kind} of PEFT ${PEFT_VERSION}, got ${show(json[key])}: it could change the result`,
    }));
  }
  const param = issue.path.join('.');
  const value = issue.path.reduce<unknown>(
    (inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key],
    json,
  );
  return [
    {
      param,
      message:
        value === undefined ? `${param} is missing: ${issue.message}` : `${param} ${issue.message}, got ${show(value)}`,
    },
  ];
}

/** What PEFT refuses too: a choice of layers that cannot go with the targets. */
export function layerConflicts(config: {
  readonly target_modules: string | readonly string[];
  readonly layers_to_transform: number | readonly number[] | null;
  readonly layers_pattern: string | readonly string[] | null;
}): FieldMessage[] {
  const messages: FieldMessage[] = [];
  const { target_modules: targets, layers_to_transform: layers, layers_pattern: layersPattern } = config;
  const isSet = (value: unknown): boolean =>
    value !== null && value !== '' && !(Array.isArray(value) && value.length === 0);
  for (const [param, value] of Object.entries({ layers_to_transform: layers, layers_pattern: layersPattern })) {
    if (typeof targets === 'string' && isSet(value)) {
      messages.push({
        param,
        message: `${param} cannot be used when target_modules is the text ${show(targets)}: use a list of names`,
      });
    }
  }
  if (isSet(layersPattern) && layers === null) {
    messages.push({ param: 'layers_pattern', message: 'layers_pattern needs layers_to_transform' });
  }
  return messages;
}

/** Fields whose lists are sets, and those whose objects are ordered lists (the first key that matches wins). */
const SETS = [
  'target_modules',
  'exclude_modules',
  'layers_to_transform',
  'layers_pattern',
  'feedforward_modules',
  'modules_to_save',
  'target_parameters',
] as readonly string[];
const ORDERED = ['rank_pattern', 'alpha_pattern', 'n_frequency_pattern'] as readonly string[];

/** The given fields of a config in a form in which equal meanings are equal JSON. */
export function decidingFields<Config extends object>(
  config: Config,
  fields: readonly (keyof Config & string)[],
): Readonly<Record<string, unknown>> {
  const entries = fields.map((field): [string, unknown] => {
    const value: unknown = config[field];
    if (SETS.includes(field) && Array.isArray(value)) return [field, [...new Set(value.map(String))].sort(compareText)];
    if (ORDERED.includes(field)) return [field, Object.entries(value as Record<string, number>)];
    return [field, value];
  });
  return Object.fromEntries(entries);
}
