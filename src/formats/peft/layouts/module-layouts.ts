/** Layouts of the methods that store tensors for each module, other than LoRA. */
import type { Ia3Config } from '../configs/ia3-config.ts';
import type { LohaConfig, LokrConfig } from '../configs/lycoris-config.ts';
import type { OftConfig } from '../configs/oft-config.ts';
import type { VeraConfig } from '../configs/vera-config.ts';
import { patternMatcher } from '../pattern-matcher.ts';
import { safeFullMatch } from '../safe-regex.ts';
import {
  describeSite,
  moduleByName,
  tensorName,
  type AdapterSite,
  type ExpectedTensor,
  type TensorLayout,
} from './tensor-layout.ts';

export type ModuleShapes = Readonly<Record<string, readonly number[]>>;

/** Tensors by the last part of their names; `shapesOf` gives those of one module. */
export function perModule(suffixes: readonly string[], shapesOf: (site: AdapterSite) => ModuleShapes): TensorLayout {
  return {
    moduleOf: (name) => moduleByName(name, suffixes),
    expected: (targets) =>
      targets.flatMap((site) =>
        Object.entries(shapesOf(site)).map(([suffix, shape]): ExpectedTensor => ({
          name: tensorName(site.path, suffix),
          shape,
          whose: describeSite(site),
        })),
      ),
  };
}

/**
 * Whether a module is one of IA3's feed-forward modules, by PEFT's rule: the end of the path, which need not be a whole part of it, or
 * a regular expression for the whole of it.
 * @throws CONFIG_INVALID for what is no regular expression
 */
export function feedforwardMatcher({ feedforward_modules: names }: Ia3Config): (path: string) => boolean {
  if (typeof names === 'string') return safeFullMatch(names, 'feedforward_modules');
  return (path) => names.some((name) => path.endsWith(name));
}

/** ia3_l: [1, in] for a feed-forward module, [out, 1] for another. */
export function ia3Layout(config: Ia3Config): TensorLayout {
  const isFeedforward = feedforwardMatcher(config);
  return perModule(['ia3_l'], (site) => ({ ia3_l: isFeedforward(site.path) ? [1, site.in] : [site.out, 1] }));
}

/** A norm's trained gain, [width]. */
export const LN_GAIN = 'ln_tuning_layers.weight';

export function lnTuningLayout(): TensorLayout {
  return perModule([LN_GAIN], (site) => ({ [LN_GAIN]: [site.out] }));
}

/** VeRA's frozen matrices, which all modules share: for the widest inputs and outputs among them. */
export const VERA_A = 'base_model.vera_A';
export const VERA_B = 'base_model.vera_B';

/** vera_lambda_b [out] and vera_lambda_d [r] of each module; vera_A [r, max in] and vera_B [max out, r] once. */
export function veraLayout({ r }: VeraConfig): TensorLayout {
  const modules = perModule(['vera_lambda_b', 'vera_lambda_d'], (site) => ({
    vera_lambda_b: [site.out],
    vera_lambda_d: [r],
  }));
  return {
    moduleOf: (name) => (name === VERA_A || name === VERA_B ? '' : modules.moduleOf(name)),
    expected(targets, base) {
      const maxIn = Math.max(...targets.map((site) => site.in));
      const maxOut = Math.max(...targets.map((site) => site.out));
      const whose = `targeted modules, which have at most ${maxIn} inputs and ${maxOut} outputs`;
      return [
        { name: VERA_A, shape: [r, maxIn], whose },
        { name: VERA_B, shape: [maxOut, r], whose },
        ...modules.expected(targets, base),
      ];
    },
  };
}

/** The rank of each module of LoHa and LoKr. @throws CONFIG_INVALID */
function rankMatcher(config: LohaConfig | LokrConfig): (path: string) => number {
  const rankOf = patternMatcher(config.rank_pattern, 'rank_pattern');
  return (path) => rankOf(path) ?? config.r;
}

/** hada_w1_a and hada_w2_a [out, r], hada_w1_b and hada_w2_b [r, in]. */
export function lohaLayout(config: LohaConfig): TensorLayout {
  const rankOf = rankMatcher(config);
  return perModule(['hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b'], (site) => {
    const r = rankOf(site.path);
    return {
      hada_w1_a: [site.out, r],
      hada_w1_b: [r, site.in],
      hada_w2_a: [site.out, r],
      hada_w2_b: [r, site.in],
    };
  });
}

const LOKR_SUFFIXES = ['lokr_w1', 'lokr_w1_a', 'lokr_w1_b', 'lokr_w2', 'lokr_w2_a', 'lokr_w2_b'];

export function lokrLayout(config: LokrConfig): TensorLayout {
  return perModule(LOKR_SUFFIXES, lokrShapes(config));
}

/**
 * The factors of a module by the last part of their names: kron(w1 [a, c], w2 [b, d]) with out = a·b and in = c·d; a factor that is
 * large beside the rank is stored as a product.
 */
export function lokrShapes(config: LokrConfig): (site: AdapterSite) => ModuleShapes {
  const rankOf = rankMatcher(config);
  return (site) => {
    const r = rankOf(site.path);
    const [a, b] = factorise(site.out, config.decompose_factor);
    const [c, d] = factorise(site.in, config.decompose_factor);
    const isFirstWhole = !(config.decompose_both && r < Math.max(a, c) / 2);
    const isSecondWhole = r >= Math.max(b, d) / 2;
    return {
      ...(isFirstWhole ? { lokr_w1: [a, c] } : { lokr_w1_a: [a, r], lokr_w1_b: [r, c] }),
      ...(isSecondWhole ? { lokr_w2: [b, d] } : { lokr_w2_a: [b, r], lokr_w2_b: [r, d] }),
    };
  };
}

/**
 * LoKr's split of a dimension into two factors, the smaller first: `factor` and the rest where that divides, else the divisors
 * nearest to the square root whose smaller one is at most `factor` (-1: whatever they are).
 */
export function factorise(dimension: number, factor: number): readonly [number, number] {
  // PEFT does not sort the two when the given factor divides.
  if (factor > 0 && dimension % factor === 0) return [factor, dimension / factor];
  const most = factor === -1 ? dimension : factor;
  let best: readonly [number, number] = [1, dimension];
  for (let m = 2; m <= most && m * m <= dimension; m++) {
    if (dimension % m === 0) best = [m, dimension / m];
  }
  return best;
}

/** oft_R.weight [blocks, b·(b−1)/2]: the upper triangles of the blocks' skew matrices, one for all blocks with block_share. */
export function oftLayout(config: OftConfig): TensorLayout {
  return perModule(['oft_R.weight'], (site) => {
    const { blockSize, numBlocks } = oftBlocks(config, site.in);
    return { 'oft_R.weight': [config.block_share ? 1 : numBlocks, (blockSize * (blockSize - 1)) / 2] };
  });
}

/** OFT's blocks on a layer of `inputs`: the config's block size or number of blocks, moved to the nearest divisor as PEFT does. */
export function oftBlocks(
  { r, oft_block_size }: OftConfig,
  inputs: number,
): { readonly blockSize: number; readonly numBlocks: number } {
  if (r === 0) {
    const blockSize = nearestDivisor(inputs, oft_block_size);
    return { blockSize, numBlocks: inputs / blockSize };
  }
  const numBlocks = nearestDivisor(inputs, r);
  return { blockSize: inputs / numBlocks, numBlocks };
}

/** The divisor of `dimension` next to `wanted`; of two that are equally near, the lower. */
function nearestDivisor(dimension: number, wanted: number): number {
  if (wanted >= dimension) return dimension;
  let [lower, higher] = [wanted, wanted];
  while (dimension % higher !== 0) higher++;
  while (dimension % lower !== 0) lower--;
  return wanted - lower <= higher - wanted ? lower : higher;
}
