import { z } from 'zod';
import { fail, type Problem } from '../../base/index.ts';
import { compareText } from '../digest.ts';
import { isPlainRelative } from '../folder.ts';
import { show } from '../json.ts';
import { MAX_MODULE_NAMES, MAX_PATTERN_ENTRIES, MAX_RANK } from '../limits.ts';

/** The PEFT release whose fields and defaults these are. */
export const PEFT_VERSION = '0.21.2';

/** For a field that changes the maths: only the value that switches it off is taken. */
const off = (why: string) =>
  z.literal(false, { error: `is not supported yet (${why}): expected false` }).default(false);
const none = (why: string) => z.null({ error: `is not supported yet (${why}): expected null` }).default(null);

const flag = z.boolean({ error: 'must be true or false' });
const text = z.string({ error: 'must be a text or null' }).nullable().default(null);
const wholeNumber = (what: string, min: number, max: number) => {
  const error = `${what} a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};
const finite = z.number({ error: 'must be a finite number' });
const moduleNames = z
  .array(z.string({ error: 'must be the name of a module' }).min(1, { error: 'must be the name of a module' }))
  .max(MAX_MODULE_NAMES, { error: `has more than ${MAX_MODULE_NAMES} names` });

const TARGETS = { error: 'must be a list of at least one module name, a regular expression, or "all-linear"' };
const LAYERS = { error: `must be a layer's number, a list of at most ${MAX_MODULE_NAMES} of them, or null` };
const layerNumber = z.int(LAYERS).min(0, LAYERS);

/** A per-module value by a regular expression. Null is PEFT's older way to say none. */
const pattern = (value: z.ZodNumber | z.ZodInt) =>
  z
    .record(z.string(), value, { error: 'must be an object of numbers' })
    .refine((entries) => Object.keys(entries).length <= MAX_PATTERN_ENTRIES, {
      error: `has more than ${MAX_PATTERN_ENTRIES} entries`,
    })
    .nullable()
    .default({})
    .transform((entries): Readonly<Record<string, number>> => entries ?? {});

/** Settings of an initialisation that leaves an ordinary LoRA behind: of no effect once the weights are there. */
const spent = z.record(z.string(), z.unknown(), { error: 'must be an object or null' }).nullable().default(null);

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

const plainInit = z.union([z.boolean(), z.enum(['gaussian', 'eva', 'orthogonal', 'mica'])], {
  error: ({ input }) =>
    /^(?:pissa|olora|corda|loftq|lora_ga)/.test(String(input))
      ? 'is not supported yet (it changes the base weights, which this base does not have): convert the adapter to plain LoRA'
      : 'must be true, false, gaussian, eva, orthogonal or mica',
});

const loraSchema = z.strictObject({
  peft_type: z.literal('LORA'),
  auto_mapping: spent,
  base_model_name_or_path: baseName,
  inference_mode: flag.default(false),
  peft_version: text,
  revision: text,
  task_type: z
    .literal('CAUSAL_LM', { error: 'is not supported yet: expected "CAUSAL_LM" or null' })
    .nullable()
    .default(null),
  r: wholeNumber('must be', 1, MAX_RANK).default(8),
  lora_alpha: finite.default(8),
  lora_dropout: z
    .number({ error: 'must be a number from 0 to below 1' })
    .min(0, { error: 'must be a number from 0 to below 1' })
    .lt(1, { error: 'must be a number from 0 to below 1' })
    .default(0),
  use_rslora: flag.default(false),
  init_lora_weights: plainInit.default(true),
  target_modules: z.union([z.string().min(1, TARGETS), moduleNames.min(1, TARGETS)], TARGETS),
  exclude_modules: z
    .union([z.string(), moduleNames], { error: 'must be a list of module names, a regular expression, or null' })
    .nullable()
    .default(null),
  layers_to_transform: z
    .union([layerNumber, z.array(layerNumber).max(MAX_MODULE_NAMES, LAYERS)], LAYERS)
    .nullable()
    .default(null),
  layers_pattern: z
    .union([z.string(), moduleNames], { error: 'must be a name, a list of names, or null' })
    .nullable()
    .default(null),
  rank_pattern: pattern(wholeNumber('must be', 1, MAX_RANK)),
  alpha_pattern: pattern(finite),
  bias: z
    .enum(['none', 'all', 'lora_only'], { error: 'must be one of none|all|lora_only' })
    .refine((bias) => bias === 'none', { error: 'is not supported yet: expected "none"' })
    .default('none')
    .transform(() => 'none' as const),
  fan_in_fan_out: off('weights of Conv1D layers are stored transposed'),
  use_dora: off('DoRA'),
  lora_bias: off('a bias on lora_B'),
  use_qalora: off('QA-LoRA'),
  use_bdlora: none('BD-LoRA'),
  ensure_weight_tying: off('tied trainable modules'),
  modules_to_save: z
    .array(z.string())
    .max(0, { error: 'is not supported yet (fully trained modules): expected null' })
    .nullable()
    .default(null)
    .transform(() => null),
  layer_replication: none('repeated layers'),
  target_parameters: none('parameters instead of modules'),
  trainable_token_indices: none('trained token embeddings'),
  alora_invocation_tokens: none('activated LoRA'),
  arrow_config: none('Arrow routing'),
  corda_config: none('CorDA'),
  kasa_config: none('KaSA'),
  lora_ga_config: none('LoRA-GA'),
  megatron_config: none('Megatron'),
  monteclora_config: none('MonteCLoRA'),
  velora_config: none('VeLoRA'),
  eva_config: spent,
  loftq_config: z
    .record(z.string(), z.never({ error: 'is not supported yet (LoftQ changes the base weights)' }))
    .nullable()
    .default({})
    .transform(() => ({})),
  megatron_core: text.default('megatron.core'),
  qalora_group_size: z.int({ error: 'must be a whole number' }).default(16),
});

/** PEFT's LoRA config with every field; names are PEFT's, since they are the file's. */
export type LoraConfig = Readonly<z.output<typeof loraSchema>>;

/** PEFT's defaults, with the modules that LoRA's paper adapts (PEFT's own choice for Llama). */
export function defaultLoraConfig(): LoraConfig {
  return loraSchema.parse({ peft_type: 'LORA', task_type: 'CAUSAL_LM', target_modules: ['q_proj', 'v_proj'] });
}

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseLoraConfig(json: Record<string, unknown>, where: string): LoraConfig {
  const parsed = loraSchema.safeParse(json);
  const messages = parsed.success
    ? conflicts(parsed.data)
    : parsed.error.issues.flatMap((issue) => describe(issue, json));
  const [first] = messages;
  if (first === undefined) return parsed.data as LoraConfig;
  const problems: Problem[] = messages.map(({ message }) => ({ where, message }));
  return fail('ADAPTER_INVALID', messages.map(({ message }) => `${where}: ${message}`).join('\n'), {
    param: first.param,
    problems,
  });
}

/** The fields that decide what a trained LoRA adds, with sets in one order and patterns in theirs. */
export function loraIdentity(config: LoraConfig): Readonly<Record<string, unknown>> {
  const { peft_type, r, lora_alpha, use_rslora, layers_to_transform } = config;
  const asSet = (value: string | readonly (string | number)[] | number | null): unknown =>
    Array.isArray(value) ? [...new Set(value.map(String))].sort(compareText) : value;
  return {
    peft_type,
    r,
    lora_alpha,
    use_rslora,
    target_modules: asSet(config.target_modules),
    exclude_modules: asSet(config.exclude_modules),
    layers_to_transform: asSet(layers_to_transform),
    layers_pattern: asSet(config.layers_pattern),
    rank_pattern: Object.entries(config.rank_pattern),
    alpha_pattern: Object.entries(config.alpha_pattern),
  };
}

interface FieldMessage {
  readonly param: string;
  readonly message: string;
}

function describe(issue: z.core.$ZodIssue, json: Record<string, unknown>): FieldMessage[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      param: key,
      message: `${key} is not a field of a LoRA config of PEFT ${PEFT_VERSION}, got ${show(json[key])}: it could change the result`,
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

/** What PEFT refuses too: settings that cannot go together. */
function conflicts(config: LoraConfig): FieldMessage[] {
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
