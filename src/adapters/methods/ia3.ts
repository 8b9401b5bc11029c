import { feedforwardMatcher, tensorName, type Ia3Config } from '../../formats/index.ts';
import { multiplyColumns } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { scaleColumns, scaleRows } from '../dense.ts';
import { tensorAt, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { resolveTargets } from '../targets.ts';
import { onTargets } from './on-targets.ts';

/** (IA)³ (Liu et al., 2022): a learned vector scales the output of a layer, its bias included, or the input of a feed-forward layer. */
export const ia3: TrainableMethod<Ia3Config> = {
  name: 'ia3',
  peftType: 'IA3',

  parameters(config, sites) {
    const isFeedforward = feedforwardMatcher(config);
    return resolveTargets(config, sites).map((site) => ({
      name: tensorName(site.path, 'ia3_l'),
      shape: isFeedforward(site.path) ? [1, site.in] : [site.out, 1],
    }));
  },

  /** Ones: a new adapter changes nothing. */
  initialise: (_config, _parameter, values) => void values.fill(1),

  bind(config, base, tensors) {
    const isFeedforward = feedforwardMatcher(config);
    return onTargets(config, base, (g, site, x, layer) => {
      const vector = tensorAt(tensors, site, 'ia3_l');
      return isFeedforward(site.path) ? layer(multiplyColumns(g, x, vector)) : multiplyColumns(g, layer(x), vector);
    });
  },

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
