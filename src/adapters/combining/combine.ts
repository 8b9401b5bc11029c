import { fail, Rng } from '../../base/index.ts';
import type { BaseModel, LinearSite } from '../../model/index.ts';
import {
  nearestProduct,
  singularParts,
  singularPartsOfProduct,
  type Floats,
  type Tensor,
} from '../../numeric/index.ts';
import type { Adapter } from '../artefact.ts';
import { zerosLike } from '../dense.ts';
import { loraDeltas } from '../methods/lora.ts';
import { loraOfProducts, type SiteProduct } from './lora-of-products.ts';
import { mergeArrays, type MajoritySign, type MergeRule, type RuleOptions } from './merge-rules.ts';
import { denseDelta, linearAdapter, scaled, sideBySide, type LinearAdapter, type SiteDelta } from './site-delta.ts';

/** PEFT's `combination_type`s. */
export const COMBINATIONS = [
  'svd',
  'linear',
  'cat',
  'ties',
  'ties_svd',
  'dare_ties',
  'dare_linear',
  'dare_ties_svd',
  'dare_linear_svd',
  'magnitude_prune',
  'magnitude_prune_svd',
] as const;
export type Combination = (typeof COMBINATIONS)[number];

/** DARE's coins for a tensor: see `RuleOptions`. */
export type KeepValues = (tensor: string) => RuleOptions['keeps'];

export interface CombineOptions {
  readonly type: Combination;
  /** Rank of what an `…svd` gives; the highest of the parts when missing. */
  readonly rank?: number | undefined;
  /** Needed by all that prune. */
  readonly density?: number | undefined;
  readonly majoritySign?: MajoritySign | undefined;
  /** Of DARE's coins. */
  readonly seed?: number | undefined;
  /** DARE's coins, instead of those that the seed gives: for tests. */
  readonly keepValues?: KeepValues | undefined;
}

export interface CombinePart {
  readonly adapter: Adapter;
  readonly weight: number;
  /** Names it in errors. */
  readonly what: string;
}

interface WeightedDelta extends SiteDelta {
  readonly share: number;
  readonly part: number;
}

/**
 * One LoRA of several adapters, by the rules of Hugging Face PEFT's `add_weighted_adapter` (0.21.2):
 * - `cat` is the weighted sum exactly, with all their ranks side by side;
 * - `svd` is that sum cut to a rank; `ties_svd`, `dare_…_svd` and `magnitude_prune_svd` apply their rule to the whole ΔW first;
 * - `linear`, `ties`, `dare_…` and `magnitude_prune` mix the factors A and B each by itself, with √weight in both: PEFT's approximation, which
 *   needs LoRA of one rank.
 * Unlike PEFT, `cat` and `…svd` take any method that changes linear layers, ranks may differ from module to module, and biases are added.
 * @throws ADAPTER_INVALID for a part that cannot be combined so; CONFIG_INVALID for an option that is missing
 */
export function combineAdapters(parts: readonly CombinePart[], options: CombineOptions, base: BaseModel): Adapter {
  const type = parts.length === 1 && !options.type.endsWith('svd') && options.type !== 'cat' ? 'linear' : options.type;
  const rule = ruleOf(type);
  const settings = ruleSettings(type, options);
  const combined = type === 'cat' || type.endsWith('svd') ? combineDeltas : combineFactors;
  const products = combined(parts, { type, rule, settings, rank: options.rank }, base);
  if (products.length === 0) fail('ADAPTER_INVALID', 'the adapters change nothing: there is nothing to combine');
  return loraOfProducts(products, base.sites);
}

interface Rules {
  readonly type: Combination;
  readonly rule: MergeRule;
  readonly settings: (tensor: string) => RuleOptions;
  readonly rank: number | undefined;
}

/** Whether a combination drops values, and so needs a density. */
export function prunes(type: Combination): boolean {
  return !['svd', 'linear', 'cat'].includes(type);
}

function ruleOf(type: Combination): MergeRule {
  if (type === 'svd' || type === 'cat') return 'linear';
  return type.replace(/_svd$/, '') as MergeRule;
}

function ruleSettings(type: Combination, options: CombineOptions): (tensor: string) => RuleOptions {
  const { density, majoritySign = 'total', seed = 0 } = options;
  if (prunes(type) && !(density !== undefined && density >= 0 && density <= 1)) {
    fail('CONFIG_INVALID', `${type} keeps a share of the values: give a density from 0 to 1`, { param: 'density' });
  }
  const coins: KeepValues =
    options.keepValues ??
    ((tensor) => {
      const rng = Rng.fromSeed(seed, `dare ${tensor}`);
      return () => rng.nextFloat() < (density ?? 1);
    });
  return (tensor) => ({ density: density ?? 1, majoritySign, keeps: coins(tensor) });
}

function combineDeltas(parts: readonly CombinePart[], rules: Rules, base: BaseModel): SiteProduct[] {
  const linear = parts.map(({ adapter, what }) => linearAdapter(adapter, base, what));
  const rank = rules.type === 'cat' ? undefined : (rules.rank ?? highestRank(linear, base.sites));
  return base.sites.flatMap((site): SiteProduct[] => {
    const deltas = linear.flatMap((one, part): WeightedDelta[] => {
      const delta = one.delta(site);
      return delta ? [{ ...delta, share: parts[part].weight, part }] : [];
    });
    if (deltas.length === 0) return [];
    const bias_O = sumOfBiases(deltas, rules, parts);
    if (rank === undefined) return [{ site, ...concatenated(deltas, parts), bias_O }];
    return [{ site, ...nearestOf(site, deltas, rules, rank), bias_O }];
  });
}

function concatenated(deltas: readonly WeightedDelta[], parts: readonly CombinePart[]) {
  return sideBySide(
    deltas.map(({ weight, share, part }) => {
      if (weight.kind === 'product') return { b_OR: weight.b_OR, a_RI: scaled(weight.a_RI, share) };
      return fail(
        'ADAPTER_INVALID',
        `${parts[part].what} adds no product of low rank, which cat would put side by side: use svd, or convert it first`,
      );
    }),
  );
}

function nearestOf(
  site: LinearSite,
  deltas: readonly WeightedDelta[],
  { rule, settings }: Rules,
  rank: number,
): { readonly b_OR: Tensor; readonly a_RI: Tensor } {
  const factors = deltas.flatMap(({ weight, share }) =>
    weight.kind === 'product' ? [{ b_OR: weight.b_OR, a_RI: scaled(weight.a_RI, share) }] : [],
  );
  // A sum of products is a product: its matrix need not be made.
  const isProduct = rule === 'linear' && factors.length === deltas.length;
  const parts = isProduct
    ? singularPartsOfProduct(...pair(sideBySide(factors)))
    : singularParts({
        shape: [site.out, site.in],
        data: mergeArrays(
          rule,
          deltas.map(({ weight }) => denseDelta(weight)),
          deltas.map(({ share }) => share),
          settings(site.path),
        ),
      });
  return nearestProduct(parts, Math.min(rank, parts.values_K.length));
}

const pair = ({ b_OR, a_RI }: { b_OR: Tensor; a_RI: Tensor }): [Tensor, Tensor] => [b_OR, a_RI];

function highestRank(linear: readonly LinearAdapter[], sites: readonly LinearSite[]): number {
  let highest = 0;
  for (const one of linear) {
    const { config } = one.adapter;
    if (config.peft_type === 'LORA') {
      for (const { a_RI } of loraDeltas(config, sites, one.adapter.tensors)) highest = Math.max(highest, a_RI.shape[0]);
    } else if ('r' in config && config.r > 0) highest = Math.max(highest, config.r);
  }
  return highest > 0
    ? highest
    : fail('CONFIG_INVALID', 'none of these adapters has a rank: say which one the combined adapter shall have', {
        param: 'rank',
      });
}

function sumOfBiases(deltas: readonly WeightedDelta[], { type }: Rules, parts: readonly CombinePart[]) {
  let sum: Floats | undefined;
  for (const { bias_O, share, part, site } of deltas) {
    if (!bias_O) continue;
    if (prunes(type)) refuseBias(type, parts[part].what);
    const before = sum ?? zerosLike(bias_O, site.out);
    sum = before.map((value, o) => value + share * bias_O[o]);
  }
  return sum;
}

function refuseBias(type: Combination, what: string): never {
  return fail('ADAPTER_INVALID', `${what} changes biases, for which ${type} has no rule: use cat or svd`);
}

/** A and B mixed each by itself. */
function combineFactors(
  parts: readonly CombinePart[],
  { type, rule, settings }: Rules,
  base: BaseModel,
): SiteProduct[] {
  const loras = parts.map(({ adapter, what }) => {
    linearAdapter(adapter, base, what);
    const { config, tensors } = adapter;
    if (config.peft_type !== 'LORA' || config.use_dora) {
      fail('ADAPTER_INVALID', `${what} is not plain LoRA, whose factors ${type} mixes: use svd, or convert it first`);
    }
    if ([...tensors.keys()].some((name) => name.endsWith('.bias'))) refuseBias(type, what);
    return new Map(loraDeltas(config, base.sites, tensors).map((delta) => [delta.site.path, delta]));
  });
  return base.sites.flatMap((site): SiteProduct[] => {
    const found = loras.flatMap((lora, part) => {
      const delta = lora.get(site.path);
      return delta ? [{ ...delta, factor: parts[part].weight * delta.scale, part }] : [];
    });
    if (found.length === 0) return [];
    const R = found[0].a_RI.shape[0];
    const odd = found.find(({ a_RI }) => a_RI.shape[0] !== R);
    if (odd) {
      fail(
        'ADAPTER_INVALID',
        `${site.path}: ${parts[odd.part].what} has rank ${odd.a_RI.shape[0]}, ${parts[found[0].part].what} rank ${R}: ${type} needs one rank: use cat or svd`,
      );
    }
    const mix = (name: string, tensors: readonly Tensor[], weights: readonly number[]): Tensor => ({
      shape: tensors[0].shape,
      data: Float32Array.from(
        mergeArrays(
          rule,
          tensors.map(({ data }) => data),
          weights,
          settings(`${site.path}.${name}`),
        ),
      ),
    });
    // A negative weight keeps its sign on one side only, as in PEFT.
    const roots = found.map(({ factor }) => Math.sqrt(Math.abs(factor)));
    const signed = roots.map((root, n) => (found[n].factor < 0 ? -root : root));
    return [
      {
        site,
        a_RI: mix(
          'lora_A',
          found.map(({ a_RI }) => a_RI),
          signed,
        ),
        b_OR: mix(
          'lora_B',
          found.map(({ b_OR }) => b_OR),
          roots,
        ),
      },
    ];
  });
}
