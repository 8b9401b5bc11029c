import { feedforwardMatcher, type Ia3Config } from '../../formats/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { scaleColumns, scaleRows } from '../dense.ts';
import { tensorAt, type Method } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { resolveTargets } from '../targets.ts';

/** (IA)³ (Liu et al., 2022): a learned vector scales the output of a layer, its bias included, or the input of a feed-forward layer. */
export const ia3: Method<Ia3Config> = {
  name: 'ia3',
  peftType: 'IA3',

  compile(config, base, tensors) {
    const isFeedforward = feedforwardMatcher(config);
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of resolveTargets(config, base.sites)) {
      const { data } = tensorAt(tensors, site, 'ia3_l');
      const vector = { shape: [data.length], data };
      sites.set(site.path, [
        isFeedforward(site.path)
          ? { kind: 'scale-input', factor_I: vector }
          : { kind: 'scale-output', factor_O: vector },
      ]);
    }
    return assembleAdapter({ sites });
  },

  merge(config, { site, weight_OI, bias_O }, tensors) {
    const { data } = tensorAt(tensors, site, 'ia3_l');
    if (feedforwardMatcher(config)(site.path)) {
      scaleColumns(weight_OI, data);
    } else {
      scaleRows(weight_OI, data);
      scaleRows(bias_O, data);
    }
  },
};
