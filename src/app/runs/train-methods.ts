import { fail } from '../../base/index.ts';
import { TARGET_PRESETS } from '../../adapters/index.ts';
import {
  CLASSIFICATION,
  CLASSIFIER_MODULES,
  parsePeftConfig,
  PEFT_VERSION,
  type PeftConfig,
} from '../../formats/index.ts';
import type { ModelConfig } from '../../model/index.ts';
import { WITHOUT_HEAD } from '../../planning/index.ts';
import { FULL_CONFIG, type TrainedConfig } from '../../training/index.ts';
import { LORA_FORMS, type LoraMethodOptions } from './train-lora-methods.ts';
import { namesIn, PART_FORMS, type PartOptions } from './train-part-methods.ts';

/** Options that belong to a method. One that is not set has the method's default; one that is another method's is refused. */
export interface MethodOptions extends PartOptions, LoraMethodOptions {
  /** A preset of {@link TARGET_PRESETS}, module names separated by commas, or a regular expression between slashes. */
  readonly targets?: string | undefined;
  readonly rank?: number | undefined;
  readonly alpha?: number | undefined;
  readonly dropout?: number | undefined;
  /** Module names separated by commas: those of the targets whose input IA3 scales. */
  readonly feedforward?: string | undefined;
  readonly dInitial?: number | undefined;
  readonly decomposeBoth?: boolean | undefined;
  readonly decomposeFactor?: number | undefined;
  readonly blockSize?: number | undefined;
  readonly blockShare?: boolean | undefined;
  readonly exactCayley?: boolean | undefined;
  /** How MiSS's update repeats: `balance`, `mini` or `bat`. */
  readonly form?: string | undefined;
  readonly miniRank?: number | undefined;
  readonly frequencies?: number | undefined;
  readonly frequencySeed?: number | undefined;
  /** The factor of FourierFT's update. */
  readonly scaling?: number | undefined;
  readonly numVectors?: number | undefined;
  readonly vectorLength?: number | undefined;
  readonly topk?: number | undefined;
  /** AdaLoRA's first rank; `rank` is what is left on average. */
  readonly initialRank?: number | undefined;
  /** Shares of the steps before AdaLoRA's budget falls, and after. */
  readonly budgetWarmup?: number | undefined;
  readonly budgetFinal?: number | undefined;
  /** Steps between two cuts. */
  readonly budgetEvery?: number | undefined;
  /** Weight of AdaLoRA's penalty. */
  readonly orthogonality?: number | undefined;
}

export type MethodOption = keyof MethodOptions;

type Targets = string | readonly string[];

export interface MethodForm {
  /** Every option of the method with its default; null where the method decides by the others. */
  readonly defaults: Readonly<Partial<Record<MethodOption, string | number | boolean | null>>>;
  /** The fields of PEFT's config, as its file would have them. */
  fields(options: MethodOptions, targets: Targets, model: ModelConfig): Readonly<Record<string, unknown>>;
}

/** A run stretches AdaLoRA's schedule to its own number of steps: of so many, shares can be written as steps. */
const PLANNED_STEPS = 10_000;

/** One line a method: its own options. */
const FORMS = {
  ...LORA_FORMS,
  adalora: {
    defaults: {
      targets: 'attention',
      rank: 8,
      initialRank: 12,
      alpha: 16,
      dropout: 0,
      budgetWarmup: 0.1,
      budgetFinal: 0.3,
      budgetEvery: 1,
      orthogonality: 0.5,
    },
    fields: ({ rank, initialRank, alpha, dropout, budgetWarmup = 0, budgetFinal = 0, budgetEvery, orthogonality }) => ({
      peft_type: 'ADALORA',
      target_r: rank,
      init_r: initialRank,
      lora_alpha: alpha,
      lora_dropout: dropout,
      total_step: PLANNED_STEPS,
      tinit: Math.round(budgetWarmup * PLANNED_STEPS),
      tfinal: Math.round(budgetFinal * PLANNED_STEPS),
      deltaT: budgetEvery,
      orth_reg_weight: orthogonality,
    }),
  },
  ia3: {
    defaults: { targets: 'k_proj,v_proj,down_proj', feedforward: null },
    fields: ({ feedforward }, targets) => ({
      peft_type: 'IA3',
      feedforward_modules: feedforward === undefined ? feedforwardOf(targets) : namesIn(feedforward),
    }),
  },
  vera: {
    defaults: { targets: 'attention', rank: 256, dropout: 0, dInitial: 0.1 },
    fields: ({ rank, dropout, dInitial }) => ({
      peft_type: 'VERA',
      r: rank,
      vera_dropout: dropout,
      d_initial: dInitial,
    }),
  },
  loha: {
    defaults: { targets: 'attention', rank: 8, alpha: 8 },
    fields: ({ rank, alpha }) => ({ peft_type: 'LOHA', r: rank, alpha }),
  },
  lokr: {
    defaults: { targets: 'attention', rank: 8, alpha: 8, decomposeBoth: false, decomposeFactor: -1 },
    fields: ({ rank, alpha, decomposeBoth, decomposeFactor }) => ({
      peft_type: 'LOKR',
      r: rank,
      alpha,
      decompose_both: decomposeBoth,
      decompose_factor: decomposeFactor,
    }),
  },
  oft: {
    defaults: { targets: 'attention', blockSize: 32, blockShare: false, exactCayley: false },
    fields: ({ blockSize, blockShare, exactCayley }) => ({
      peft_type: 'OFT',
      r: 0,
      oft_block_size: blockSize,
      block_share: blockShare,
      use_cayley_neumann: !exactCayley,
      // The series is that of PEFT from 0.18 on.
      peft_version: PEFT_VERSION,
    }),
  },
  boft: {
    defaults: { targets: 'attention', blockSize: 8 },
    fields: ({ blockSize }) => ({ peft_type: 'BOFT', boft_block_size: blockSize }),
  },
  hra: {
    defaults: { targets: 'attention', rank: 8 },
    fields: ({ rank }) => ({ peft_type: 'HRA', r: rank }),
  },
  miss: {
    defaults: { targets: 'attention', rank: 64, dropout: 0, form: 'balance', miniRank: 1 },
    fields: ({ rank, dropout, form, miniRank }) => ({
      peft_type: 'MISS',
      r: rank,
      miss_dropout: dropout,
      init_weights: form === 'balance' ? true : form,
      mini_r: miniRank,
    }),
  },
  fourierft: {
    defaults: { targets: 'attention', frequencies: 1000, frequencySeed: 777, scaling: 150 },
    // Zeros, so that a new adapter changes nothing; the paper begins with N(0, 1).
    fields: ({ frequencies, frequencySeed, scaling }) => ({
      peft_type: 'FOURIERFT',
      n_frequency: frequencies,
      random_loc_seed: frequencySeed,
      scaling,
      init_weights: true,
    }),
  },
  randlora: {
    defaults: { targets: 'attention', rank: 32, alpha: 640, dropout: 0 },
    fields: ({ rank, alpha, dropout }) => ({
      peft_type: 'RANDLORA',
      r: rank,
      randlora_alpha: alpha,
      randlora_dropout: dropout,
    }),
  },
  vblora: {
    // 64 divides the sides of most models; PEFT's 256 does not.
    defaults: { targets: 'attention', rank: 4, dropout: 0, numVectors: 256, vectorLength: 64, topk: 2 },
    fields: ({ rank, dropout, numVectors, vectorLength, topk }) => ({
      peft_type: 'VBLORA',
      r: rank,
      vblora_dropout: dropout,
      num_vectors: numVectors,
      vector_length: vectorLength,
      topk,
    }),
  },
  ...PART_FORMS,
} as const satisfies Record<string, MethodForm>;

/** Every weight of the base, which is no PEFT method and has no options. */
export const FULL = 'full';

/** A method that `espalier train` takes; more can be served. */
export type TrainMethod = keyof typeof FORMS | typeof FULL;

export const TRAINING_METHODS = [...Object.keys(FORMS), FULL] as readonly TrainMethod[];

/** The options of a method, with their defaults. */
export function methodDefaults(method: TrainMethod): MethodForm['defaults'] {
  return method === FULL ? {} : FORMS[method].defaults;
}

/**
 * The config of a new adapter on a base of this shape.
 * @param isClassifier whether it has a classification head
 * @throws USAGE_INVALID for an option of another method; ADAPTER_INVALID for values that PEFT refuses too
 */
export function methodConfig(
  method: Exclude<TrainMethod, typeof FULL>,
  options: MethodOptions,
  model: ModelConfig,
  isClassifier?: boolean,
): PeftConfig;
export function methodConfig(
  method: TrainMethod,
  options: MethodOptions,
  model: ModelConfig,
  isClassifier?: boolean,
): TrainedConfig;
export function methodConfig(
  method: TrainMethod,
  options: MethodOptions,
  model: ModelConfig,
  isClassifier = false,
): TrainedConfig {
  const why = WITHOUT_HEAD[method];
  if (isClassifier && why !== undefined) {
    const message = `a classification trains no head beside ${method}, ${why}: choose another method`;
    fail('USAGE_INVALID', message, { param: '--method' });
  }
  if (method === FULL) {
    for (const name of foreignOptions(options, [])) {
      fail('USAGE_INVALID', `${flagOf(name)} is no option of --method full, which has none`, { param: name });
    }
    return FULL_CONFIG;
  }
  const form: MethodForm = FORMS[method];
  const own = Object.keys(form.defaults) as MethodOption[];
  for (const name of foreignOptions(options, own)) {
    const known = own.map(flagOf).join(', ');
    fail('USAGE_INVALID', `${flagOf(name)} is no option of --method ${method}, which has ${known}`, { param: name });
  }
  const set = Object.fromEntries(own.map((name) => [name, options[name] ?? form.defaults[name] ?? undefined]));
  const { targets: text = 'attention' } = set as MethodOptions;
  const hasParametersAlone = options.targetParameters !== undefined && options.targets === undefined;
  const targets = hasParametersAlone ? [] : parseTargets(text);
  const fields = form.fields(set, targets, model);
  const json = {
    task_type: 'CAUSAL_LM',
    ...(own.includes('targets') && { target_modules: targets }),
    ...fields,
    ...(isClassifier && classifierFields(fields)),
  };
  return parsePeftConfig(json, `--method ${method}`);
}

/** As PEFT changes a config of this task type. */
function classifierFields({ modules_to_save: saved }: Readonly<Record<string, unknown>>) {
  const others = Array.isArray(saved) ? (saved as readonly string[]) : [];
  return { task_type: CLASSIFICATION, modules_to_save: [...others, ...CLASSIFIER_MODULES] };
}

function foreignOptions(options: MethodOptions, own: readonly MethodOption[]): MethodOption[] {
  const all = new Set(Object.values(FORMS).flatMap(({ defaults }) => Object.keys(defaults) as MethodOption[]));
  return [...all].filter((name) => options[name] !== undefined && !own.includes(name));
}

/** `decomposeFactor` is `--decompose-factor`. */
export function flagOf(option: MethodOption): string {
  return `--${option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** `attention`, `all-linear`, `q_proj,v_proj` or `/regular expression/`. */
export function parseTargets(text: string): string | string[] {
  const preset = TARGET_PRESETS[text];
  if (preset) return typeof preset === 'string' ? preset : [...preset];
  const pattern = /^\/(.+)\/$/.exec(text)?.[1];
  if (pattern) return pattern;
  return namesIn(text);
}

/** The paper's choice: of the feed-forward layers, the one that gets the activation. */
function feedforwardOf(targets: Targets): string[] {
  return typeof targets === 'string' || targets.includes('down_proj') ? ['down_proj'] : [];
}
