/** Layouts of BOFT, HRA, MiSS and FourierFT: one tensor or two for each module. */
import { fail } from '../../../base/index.ts';
import type { BoftConfig } from '../configs/boft-config.ts';
import type { FourierftConfig } from '../configs/fourierft-config.ts';
import type { HraConfig } from '../configs/hra-config.ts';
import { missForm, type MissConfig } from '../configs/miss-config.ts';
import { patternMatcher } from '../pattern-matcher.ts';
import { torchPermutation } from '../torch-random.ts';
import { perModule } from './module-layouts.ts';
import type { AdapterSite, TensorLayout } from './tensor-layout.ts';

/** boft_R [1, blocks, b, b] and the scales boft_s [out, 1]. */
export function boftLayout(config: BoftConfig): TensorLayout {
  return perModule(['boft_R', 'boft_s'], (site) => {
    const { blockSize, numBlocks } = boftBlocks(config, site);
    return { boft_R: [1, numBlocks, blockSize, blockSize], boft_s: [site.out, 1] };
  });
}

/** BOFT's blocks of a module. @throws ADAPTER_INVALID when they do not divide its inputs, as PEFT does */
export function boftBlocks(
  { boft_block_size: size, boft_block_num: count }: BoftConfig,
  site: AdapterSite,
): { readonly blockSize: number; readonly numBlocks: number } {
  const [param, divisor] = size > 0 ? ['boft_block_size', size] : ['boft_block_num', count];
  requireDivisor(param, divisor, site.in, `the ${site.in} inputs of ${site.path}`);
  return size > 0 ? { blockSize: size, numBlocks: site.in / size } : { blockSize: site.in / count, numBlocks: count };
}

/** @throws ADAPTER_INVALID */
export function requireDivisor(param: string, divisor: number, size: number, what: string): void {
  if (size % divisor === 0) return;
  fail('ADAPTER_INVALID', `${param} is ${divisor}, expected a divisor of ${what}`, { param });
}

/** hra_u [in, r]: the normals of the reflections. */
export function hraLayout({ r }: HraConfig): TensorLayout {
  return perModule(['hra_u'], (site) => ({ hra_u: [site.in, r] }));
}

export function missLayout(config: MissConfig): TensorLayout {
  return perModule(['miss_block'], (site) => ({ miss_block: missShape(config, site) }));
}

/** miss_block: [r, out]; [r, mini_r] for mini, whose columns are repeated; [out/r, r, r] for bat. @throws ADAPTER_INVALID */
export function missShape(config: MissConfig, site: AdapterSite): readonly number[] {
  const { r, mini_r: mini } = config;
  if (r > site.in)
    fail('ADAPTER_INVALID', `r is ${r}, expected at most the ${site.in} inputs of ${site.path}`, { param: 'r' });
  const form = missForm(config);
  if (form === 'balance') return [r, site.out];
  const outputs = `the ${site.out} outputs of ${site.path}`;
  if (form === 'mini') {
    requireDivisor('mini_r', mini, site.out, outputs);
    return [r, mini];
  }
  requireDivisor('r', r, site.in, `the ${site.in} inputs of ${site.path}, with init_weights bat`);
  requireDivisor('r', r, site.out, `${outputs}, with init_weights bat`);
  return [site.out / r, r, r];
}

/** fourierft_spectrum [n]: the values; where they stand is decided by the config's seed. */
export function fourierftLayout(config: FourierftConfig): TensorLayout {
  const countOf = frequencyCounts(config);
  return perModule(['fourierft_spectrum'], (site) => ({ fourierft_spectrum: [countOf(site)] }));
}

/** The number of frequencies of a module. @throws CONFIG_INVALID; ADAPTER_INVALID for more than the layer has numbers */
export function frequencyCounts(config: FourierftConfig): (site: AdapterSite) => number {
  const ofPattern = patternMatcher(config.n_frequency_pattern, 'n_frequency_pattern');
  return (site) => {
    const count = ofPattern(site.path) ?? config.n_frequency;
    const most = site.in * site.out;
    if (count <= most) return count;
    return fail('ADAPTER_INVALID', `n_frequency is ${count}, expected at most ${most}, the numbers of ${site.path}`, {
      param: 'n_frequency',
    });
  };
}

/** Where the frequencies of a module stand in its matrix [out, in], flattened row by row. */
export function fourierPositions(config: FourierftConfig, site: AdapterSite): Int32Array {
  return torchPermutation(config.random_loc_seed, frequencyCounts(config)(site), site.in * site.out);
}
