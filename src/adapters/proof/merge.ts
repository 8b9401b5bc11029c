import { assert } from '../../base/index.ts';
import type { BaseModel, LinearSite, SiteHooks } from '../../model/index.ts';
import type { Adapter } from '../artefact.ts';
import { zerosLike } from '../dense.ts';
import type { DenseLinear } from '../method.ts';
import { methodOf } from '../methods/index.ts';
import { targetsOf } from '../targets.ts';

/** The layer of a site as it would be with the adapter merged into it: the base's values as they are served, changed. */
export function mergedLinear({ config, tensors }: Adapter, base: BaseModel, site: LinearSite): DenseLinear {
  const { weight, bias } = base.layers[site.layer].linear[site.role];
  const weight_OI = base.kernels.thaw(weight);
  const dense: DenseLinear = {
    site,
    weight_OI,
    bias_O: bias?.data.slice() ?? zerosLike(weight_OI, site.out),
    kernels: base.kernels,
  };
  mergeLayer({ config, tensors }, dense);
  return dense;
}

/** Merges an adapter into a layer that it targets, in place. */
export function mergeLayer({ config, tensors }: Adapter, dense: DenseLinear): void {
  const method = methodOf(config);
  assert(method.merge !== undefined, `${method.name} changes linear layers`);
  method.merge(config, dense, tensors);
}

/**
 * Hooks of a forward pass through merged layers: the same function as the adapter's, computed in another way, with one dense product for
 * each layer. A merged layer is made when it is needed and not kept.
 */
export function mergedHooks(adapter: Adapter, base: BaseModel): SiteHooks {
  const targets = new Set(targetsOf(adapter.config, base.sites).map(({ path }) => path));
  return {
    linear(g, site, x, frozen) {
      if (!targets.has(site.path)) return frozen(x);
      const { weight_OI, bias_O } = mergedLinear(adapter, base, site);
      const T = x.shape[0];
      const y = g.empty([T, site.out]);
      for (let t = 0; t < T; t++) y.data.set(bias_O, t * site.out);
      const shape = { M: T, N: site.out, K: site.in, transposeB: true, accumulate: true };
      g.kernels.gemm(y.data, x.data, weight_OI, shape);
      return y;
    },
  };
}
