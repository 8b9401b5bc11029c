import { assert, fail } from '../../base/index.ts';
import type { BaseModel } from '../../model/index.ts';
import { nearestProduct, singularParts, singularPartsOfProduct } from '../../numeric/index.ts';
import type { Adapter } from '../artefact.ts';
import { loraOfProducts, type SiteProduct } from './lora-of-products.ts';
import { linearAdapter, type SiteDelta, type WeightDelta } from './site-delta.ts';

/** How large the LoRA shall be: a rank, or in every module the lowest rank that keeps this share of Σ s², s being the singular values of ΔW. */
export type LoraSize = { readonly rank: number } | { readonly energy: number };

/** What a module of the converted adapter keeps. */
export interface ConvertedModule {
  readonly path: string;
  readonly rank: number;
  /** ‖ΔW‖, Frobenius. */
  readonly norm: number;
  /** ‖ΔW − B·A‖ / ‖ΔW‖; 0 where the factors were taken as they are. */
  readonly error: number;
}

export interface Conversion {
  readonly adapter: Adapter;
  readonly modules: readonly ConvertedModule[];
  /** The same over all modules: √(Σ ‖ΔW − B·A‖² / Σ ‖ΔW‖²). */
  readonly error: number;
}

/**
 * The plain LoRA that is nearest to an adapter of any method that changes linear layers, module by module in the Frobenius norm. A change of
 * a bias becomes LoRA's bias, exactly. Modules that the adapter does not change are left out.
 * @param what names the adapter in errors
 * @throws ADAPTER_INVALID when it changes something else, or nothing
 */
export function convertToLora(
  adapter: Adapter,
  base: BaseModel,
  size: LoraSize,
  what: string,
  onModule?: (numDone: number, total: number) => void,
): Conversion {
  const linear = linearAdapter(adapter, base, what);
  const products: SiteProduct[] = [];
  const modules: ConvertedModule[] = [];
  let [squaredError, squaredNorm] = [0, 0];
  for (const [index, site] of base.sites.entries()) {
    const delta = linear.delta(site);
    const found = delta && nearest(delta, size);
    if (found) {
      products.push(found.product);
      modules.push(found.module);
      squaredNorm += found.module.norm ** 2;
      squaredError += (found.module.error * found.module.norm) ** 2;
    }
    onModule?.(index + 1, base.sites.length);
  }
  if (products.length === 0) fail('ADAPTER_INVALID', `${what} changes nothing: there is nothing to convert`);
  return { adapter: loraOfProducts(products, base.sites), modules, error: Math.sqrt(squaredError / squaredNorm) };
}

/** Undefined for a layer that stays as it is. */
function nearest(
  { site, weight, bias_O }: SiteDelta,
  size: LoraSize,
): { readonly product: SiteProduct; readonly module: ConvertedModule } | undefined {
  const { path } = site;
  if (weight.kind === 'product' && 'rank' in size && weight.a_RI.shape[0] <= size.rank) {
    const { b_OR, a_RI } = weight;
    const norm = Math.sqrt(sumSquares(partsOf(weight).values_K));
    if (norm === 0 && !bias_O) return undefined;
    return { product: { site, b_OR, a_RI, bias_O }, module: { path, rank: a_RI.shape[0], norm, error: 0 } };
  }
  const parts = partsOf(weight);
  const total = sumSquares(parts.values_K);
  if (total === 0 && !bias_O) return undefined;
  const rank = rankFor(parts.values_K, total, size);
  const left = sumSquares(parts.values_K.subarray(rank));
  const error = total === 0 ? 0 : Math.sqrt(left / total);
  return {
    product: { site, ...nearestProduct(parts, rank), bias_O },
    module: { path, rank, norm: Math.sqrt(total), error },
  };
}

function partsOf(weight: WeightDelta) {
  return weight.kind === 'dense' ? singularParts(weight.delta_OI) : singularPartsOfProduct(weight.b_OR, weight.a_RI);
}

function rankFor(values: Float64Array, total: number, size: LoraSize): number {
  if ('rank' in size) return Math.min(size.rank, values.length);
  assert(size.energy > 0 && size.energy <= 1, 'an energy is a share');
  let kept = 0;
  for (let rank = 1; rank <= values.length; rank++) {
    kept += values[rank - 1] ** 2;
    // The sum itself is rounded: all of it is reached when nothing that counts is left.
    if (kept >= size.energy * total * (1 - 1e-12)) return rank;
  }
  return values.length;
}

function sumSquares(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}
