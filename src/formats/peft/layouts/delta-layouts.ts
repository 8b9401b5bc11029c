/** Layouts of BOFT, HRA, MiSS and FourierFT: one tensor or two for each module. */
import type { Problem } from '../../../base/index.ts';
import type { BoftConfig } from '../configs/boft-config.ts';
import type { FourierftConfig } from '../configs/fourierft-config.ts';
import type { HraConfig } from '../configs/hra-config.ts';
import { missForm, type MissConfig } from '../configs/miss-config.ts';
import { patternMatcher } from '../pattern-matcher.ts';
import { perModule } from './module-layouts.ts';
import type { AdapterBase, AdapterSite, TensorLayout } from './tensor-layout.ts';

/** boft_R [1, blocks, b, b] and the scales boft_s [out, 1]. */
export function boftLayout(config: BoftConfig): TensorLayout {
  return perModule(['boft_R', 'boft_s'], (site) => {
    const { blockSize, numBlocks } = boftBlocks(config, site.in);
    return { boft_R: [1, numBlocks, blockSize, blockSize], boft_s: [site.out, 1] };
  });
}

/** BOFT's blocks on a layer of `inputs`; a size that does not divide it is no whole number of blocks, and fits no tensor. */
export function boftBlocks(
  { boft_block_size: size, boft_block_num: count }: BoftConfig,
  inputs: number,
): { readonly blockSize: number; readonly numBlocks: number } {
  return size > 0
    ? { blockSize: size, numBlocks: Math.floor(inputs / size) }
    : { blockSize: Math.floor(inputs / count), numBlocks: count };
}

/** hra_u [in, r]: the normals of the reflections. */
export function hraLayout({ r }: HraConfig): TensorLayout {
  return perModule(['hra_u'], (site) => ({ hra_u: [site.in, r] }));
}

export function missLayout(config: MissConfig): TensorLayout {
  return perModule(['miss_block'], (site) => ({ miss_block: missShape(config, site) }));
}

/** miss_block: [r, out]; [r, mini_r] for mini, whose columns are repeated; [out/r, r, r] for bat. */
export function missShape(config: MissConfig, site: AdapterSite): readonly number[] {
  const { r, mini_r: mini } = config;
  switch (missForm(config)) {
    case 'bat':
      return [Math.floor(site.out / r), r, r];
    case 'mini':
      return [r, mini];
    default:
      return [r, site.out];
  }
}

/** fourierft_spectrum [n]: the values; where they stand is decided by the config's seed. */
export function fourierftLayout(config: FourierftConfig): TensorLayout {
  const countOf = frequencyCounts(config);
  return {
    ...perModule(['fourierft_spectrum'], (site) => ({ fourierft_spectrum: [countOf(site.path)] })),
    misfits: (base) => tooManyFrequencies(config, base),
  };
}

/** The number of frequencies of a module by its path. @throws CONFIG_INVALID */
export function frequencyCounts(config: FourierftConfig): (path: string) => number {
  const ofPattern = patternMatcher(config.n_frequency_pattern, 'n_frequency_pattern');
  return (path) => ofPattern(path) ?? config.n_frequency;
}

/** A layer cannot have more frequencies than numbers. */
function tooManyFrequencies({ n_frequency: count }: FourierftConfig, base: AdapterBase): Problem[] {
  const most = Math.max(...base.sites.map((site) => site.in * site.out));
  if (count <= most) return [];
  return [{ where: 'n_frequency', message: `n_frequency is ${count}, the base's largest layer has ${most} numbers` }];
}
