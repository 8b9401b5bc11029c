import { fail } from '../base/index.ts';
import { resolveTargets, TARGET_PRESETS, trainableMethodOf } from '../adapters/index.ts';
import { parsePeftConfig } from '../formats/index.ts';
import { linearSites } from '../model/index.ts';
import type { LinearSite, ModelConfig } from '../model/index.ts';
import { countParameters } from './parameters.ts';

/** Base weights on disk and in memory. NF4 has double quantisation (QLoRA: Dettmers et al., 2023). */
export type BaseFormat = 'f32' | 'bf16' | 'int8' | 'nf4';
export const BASE_FORMATS: readonly BaseFormat[] = ['f32', 'bf16', 'int8', 'nf4'];

interface MethodCost {
  /** Trainable numbers that one adapted site adds. Null: the base itself is trained. */
  readonly perSite: ((site: LinearSite, rank: number, config: ModelConfig) => number) | null;
  /** Trainable numbers that belong to no site, of a method that adapts none. */
  readonly ofModel?: (config: ModelConfig, counts: PartCounts) => number;
  /** Numbers of the adapter's file, where it does not hold what is trained. */
  readonly stored?: (config: ModelConfig, counts: PartCounts) => number;
  /** Trainable numbers that all sites share. */
  readonly shared?: number;
  /** A step makes a dense copy of each adapted layer, for its norms: they pile up until they are collected. */
  readonly copiesLayers?: true;
  readonly defaultBaseFormat: BaseFormat;
}

/** What methods without sites are sized by. */
export interface PartCounts {
  readonly virtualTokens: number;
  /** Tokens whose embeddings are trained. */
  readonly trainedTokens: number;
  /** Of a classification: a head beside the adapter has a row for each; none when missing. */
  readonly labels?: number | undefined;
}

/** Those that a classification head cannot be trained beside, and why. */
export const WITHOUT_HEAD: Readonly<Partial<Record<string, string>>> = {
  'prefix-tuning': 'of which Hugging Face models that classify take none',
  'trainable-tokens': 'beside which PEFT saves no head',
  full: 'which trains a model that gives tokens',
};

const NO_SITE = () => 0;
const virtualRows = ({ hiddenSize }: ModelConfig, { virtualTokens }: PartCounts): number => virtualTokens * hiddenSize;
/** An embedding and three layers, all of the base's width, as PEFT has it by default. */
const mlpEncoder = ({ hiddenSize: D }: ModelConfig, { virtualTokens }: PartCounts): number =>
  virtualTokens * D + 3 * (D * D + D);
const keysAndValues = (config: ModelConfig, { virtualTokens }: PartCounts): number =>
  virtualTokens * config.numLayers * 2 * config.numKeyValueHeads * config.headWidth;
const normGains = ({ numLayers, hiddenSize }: ModelConfig): number => (2 * numLayers + 1) * hiddenSize;

const lowRank = (site: LinearSite, rank: number): number => rank * (site.in + site.out);

/**
 * Counted by the method itself, for those whose sizes are no simple product.
 * @param fields of PEFT's config, the rank being whatever sets the method's size
 */
function counted(
  fields: (rank: number) => Readonly<Record<string, unknown>>,
): (site: LinearSite, rank: number, model: ModelConfig) => number {
  return (site, rank, model) => {
    const config = parsePeftConfig({ ...fields(rank), target_modules: [site.path] }, 'the plan');
    return trainableMethodOf(config)
      .parameters(config, [site], model)
      .filter(({ name, isFrozen }) => !isFrozen && name.includes(`.${site.path}.`))
      .reduce((sum, { shape }) => sum + shape.reduce((size, length) => size * length, 1), 0);
  };
}

/** VB-LoRA's bank as `train` makes it by default. */
const BANK = { num_vectors: 256, vector_length: 64 };

/** One line a method. */
const METHOD_COSTS = {
  lora: { perSite: lowRank, defaultBaseFormat: 'bf16' },
  dora: { perSite: (site, rank) => lowRank(site, rank) + site.out, copiesLayers: true, defaultBaseFormat: 'bf16' },
  // Before ranks are cut, with half as many again as are left in the end.
  adalora: {
    perSite: (site, rank) => Math.ceil(1.5 * rank) * (site.in + site.out + 1),
    defaultBaseFormat: 'bf16',
  },
  // The paper scales the input of the layer that gets the activation, and the output of others.
  ia3: { perSite: (site) => (site.role === 'down_proj' ? site.in : site.out), defaultBaseFormat: 'bf16' },
  vera: { perSite: (site, rank) => rank + site.out, defaultBaseFormat: 'bf16' },
  loha: { perSite: (site, rank) => 2 * lowRank(site, rank), defaultBaseFormat: 'bf16' },
  lokr: { perSite: counted((rank) => ({ peft_type: 'LOKR', r: rank })), defaultBaseFormat: 'bf16' },
  // The rank is the size of a block.
  oft: {
    perSite: counted((rank) => ({ peft_type: 'OFT', r: 0, oft_block_size: rank, use_cayley_neumann: false })),
    defaultBaseFormat: 'bf16',
  },
  boft: { perSite: counted((rank) => ({ peft_type: 'BOFT', boft_block_size: rank })), defaultBaseFormat: 'bf16' },
  hra: { perSite: (site, rank) => site.in * rank, defaultBaseFormat: 'bf16' },
  miss: { perSite: (site, rank) => site.out * rank, defaultBaseFormat: 'bf16' },
  // The rank is the number of frequencies.
  fourierft: { perSite: (_site, rank) => rank, defaultBaseFormat: 'bf16' },
  randlora: { perSite: counted((rank) => ({ peft_type: 'RANDLORA', r: rank })), defaultBaseFormat: 'bf16' },
  vblora: {
    perSite: counted((rank) => ({ peft_type: 'VBLORA', r: rank, ...BANK })),
    shared: BANK.num_vectors * BANK.vector_length,
    defaultBaseFormat: 'bf16',
  },
  qlora: { perSite: lowRank, defaultBaseFormat: 'nf4' },
  'prompt-tuning': { perSite: NO_SITE, ofModel: virtualRows, defaultBaseFormat: 'bf16' },
  'p-tuning': { perSite: NO_SITE, ofModel: mlpEncoder, stored: virtualRows, defaultBaseFormat: 'bf16' },
  'prefix-tuning': { perSite: NO_SITE, ofModel: keysAndValues, defaultBaseFormat: 'bf16' },
  'trainable-tokens': {
    perSite: NO_SITE,
    ofModel: ({ hiddenSize }, { trainedTokens }) => trainedTokens * hiddenSize,
    defaultBaseFormat: 'bf16',
  },
  'ln-tuning': { perSite: NO_SITE, ofModel: normGains, defaultBaseFormat: 'bf16' },
  full: { perSite: null, defaultBaseFormat: 'bf16' },
} as const satisfies Record<string, MethodCost>;

export type PlannedMethod = keyof typeof METHOD_COSTS;
export const PLANNED_METHODS = Object.keys(METHOD_COSTS) as PlannedMethod[];

/** @throws USAGE_INVALID names the methods */
export function plannedMethod(name: string): { readonly name: PlannedMethod; readonly cost: MethodCost } {
  const known = PLANNED_METHODS.find((method) => method === name);
  if (known === undefined) {
    fail('USAGE_INVALID', `no method is called ${JSON.stringify(name)}: use ${PLANNED_METHODS.join(', ')}`, {
      param: 'method',
    });
  }
  return { name: known, cost: METHOD_COSTS[known] };
}

/** What a method trains. */
export interface Trainable {
  readonly parameters: number;
  /** Of the base's parameters. */
  readonly share: number;
  /** The roles of the adapted sites (`q_proj`…); empty for full fine-tuning and for methods that adapt none. */
  readonly roles: readonly string[];
  readonly numSites: number;
  /** The base's own weights are trained. */
  readonly isFull?: true;
  /** Numbers of the adapter's file, where they are not the trained ones. */
  readonly stored?: number;
  /** Float32 numbers of dense copies of the base's layers, made by a step. */
  readonly copied?: number;
}

/** As `espalier train` has them, and one token. */
export const DEFAULT_COUNTS: PartCounts = { virtualTokens: 20, trainedTokens: 1 };

/**
 * @param targets `attention`, `attention-qv`, `mlp`, `all-linear`, or names with commas between: `q_proj,v_proj`
 * @throws USAGE_INVALID TARGET_UNMATCHED
 */
export function countTrainable(
  config: ModelConfig,
  method: string,
  rank: number,
  targets: string,
  counts: PartCounts = DEFAULT_COUNTS,
): Trainable {
  const { perSite, shared = 0, ofModel, stored, copiesLayers } = plannedMethod(method).cost;
  const total = countParameters(config).total;
  const head = headParameters(method, counts, config);
  if (perSite === null) return { parameters: total, share: 1, roles: [], numSites: 0, isFull: true };
  if (ofModel) {
    const parameters = ofModel(config, counts) + head;
    const inFile = stored && { stored: stored(config, counts) + head };
    return { parameters, share: parameters / total, roles: [], numSites: 0, ...inFile };
  }
  const chosen = resolveTargets(
    {
      target_modules: TARGET_PRESETS[targets] ?? targets.split(',').map((name) => name.trim()),
      exclude_modules: null,
      layers_to_transform: null,
      layers_pattern: null,
    },
    linearSites(config),
  );
  const parameters = chosen.reduce((sum, site) => sum + perSite(site, rank, config), shared + head);
  return {
    parameters,
    share: parameters / total,
    roles: [...new Set(chosen.map((site) => site.role))],
    numSites: chosen.length,
    ...(copiesLayers && { copied: chosen.reduce((sum, site) => sum + site.out * site.in, 0) }),
  };
}

/** @throws USAGE_INVALID for a method that has no head beside it */
function headParameters(method: string, { labels = 0 }: PartCounts, { hiddenSize }: ModelConfig): number {
  if (labels === 0 || WITHOUT_HEAD[method] === undefined) return labels * hiddenSize;
  return fail('USAGE_INVALID', `labels are of a classification, which trains no head beside ${method}`, {
    param: 'labels',
  });
}
