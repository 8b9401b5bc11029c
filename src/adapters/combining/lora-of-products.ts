import { assert } from '../../base/index.ts';
import { parsePeftConfig, tensorName } from '../../formats/index.ts';
import type { LinearSite } from '../../model/index.ts';
import type { Floats, Tensor } from '../../numeric/index.ts';
import type { Adapter } from '../artefact.ts';
import { zerosLike } from '../dense.ts';

/** What a LoRA shall add to a layer: b_OR · a_RI, and to its bias. */
export interface SiteProduct {
  readonly site: LinearSite;
  readonly b_OR: Tensor;
  readonly a_RI: Tensor;
  readonly bias_O?: Floats | undefined;
}

/**
 * The LoRA of these products, whose scale is 1 in every module (alpha = r). Ranks that differ become patterns by the modules' whole paths.
 * @param sites all sites of the base: modules are targeted by their last names where those say the same
 */
export function loraOfProducts(products: readonly SiteProduct[], sites: readonly LinearSite[]): Adapter {
  assert(products.length > 0, 'a LoRA changes a layer');
  const ranks = products.map(({ a_RI }) => a_RI.shape[0]);
  const r = Math.max(...ranks);
  const patterns = Object.fromEntries(
    products.flatMap(({ site, a_RI: { shape } }) => (shape[0] === r ? [] : [[site.path, shape[0]]])),
  );
  const hasBias = products.some(({ bias_O }) => bias_O !== undefined);
  const config = parsePeftConfig(
    {
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      r,
      lora_alpha: r,
      rank_pattern: patterns,
      alpha_pattern: patterns,
      lora_bias: hasBias,
      target_modules: targetNames(
        products.map(({ site }) => site),
        sites,
      ),
    },
    'the combined adapter',
  );
  const tensors = new Map<string, Tensor>();
  for (const { site, a_RI, b_OR, bias_O } of products) {
    tensors.set(tensorName(site.path, 'lora_A.weight'), a_RI);
    tensors.set(tensorName(site.path, 'lora_B.weight'), b_OR);
    if (!hasBias) continue;
    const data = bias_O ?? zerosLike(b_OR.data, site.out);
    tensors.set(tensorName(site.path, 'lora_B.bias'), { shape: [site.out], data });
  }
  return { config, tensors };
}

/** Last names when they mean exactly these sites, whole paths otherwise. */
function targetNames(chosen: readonly LinearSite[], sites: readonly LinearSite[]): string[] {
  const roles = new Set(chosen.map(({ role }) => role));
  const meant = sites.filter(({ role }) => roles.has(role));
  return meant.length === chosen.length ? [...roles] : chosen.map(({ path }) => path);
}
