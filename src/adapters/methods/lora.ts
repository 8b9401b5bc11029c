import { assert } from '../../base/index.ts';
import { patternMatcher, type LoraConfig } from '../../formats/index.ts';
import type { LinearSite } from '../../model/index.ts';
import { addLowRankDelta, dropout, type Tensor } from '../../numeric/index.ts';
import type { AdapterTensors, Method, ParameterSpec } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { resolveTargets } from '../targets.ts';

/** Rank and scale of a module. */
export interface LoraScale {
  readonly rank: number;
  readonly scale: number;
}

/**
 * The scale of each module by its path: `alpha/r`, or `alpha/sqrt(r)` for rank-stabilised LoRA (Kalajdzievski, 2023). Rank and alpha are
 * looked up separately in their patterns, as PEFT does.
 */
export function loraScales(config: LoraConfig): (path: string) => LoraScale {
  const rankOf = patternMatcher(config.rank_pattern, 'rank_pattern');
  const alphaOf = patternMatcher(config.alpha_pattern, 'alpha_pattern');
  return (path) => {
    const rank = rankOf(path) ?? config.r;
    const alpha = alphaOf(path) ?? config.lora_alpha;
    return { rank, scale: config.use_rslora ? alpha / Math.sqrt(rank) : alpha / rank };
  };
}

const keyOfA = (site: LinearSite): string => `base_model.model.${site.path}.lora_A.weight`;
const keyOfB = (site: LinearSite): string => `base_model.model.${site.path}.lora_B.weight`;

/** LoRA (Hu et al., 2021) with PEFT's semantics: y = W·x + scale · B·A·dropout(x). A is [R, in], B is [out, R] and starts at zero. */
export const lora: Method<LoraConfig> = {
  name: 'lora',
  peftType: 'LORA',

  parameters(config, sites) {
    const scaleOf = loraScales(config);
    return resolveTargets(config, sites).flatMap((site): ParameterSpec[] => {
      const { rank } = scaleOf(site.path);
      return [
        { name: keyOfA(site), shape: [rank, site.in] },
        { name: keyOfB(site), shape: [site.out, rank] },
      ];
    });
  },

  /** A as PEFT does it: Kaiming-uniform with a = sqrt(5), which is U(−1/sqrt(in), 1/sqrt(in)); or N(0, 1/r) for `gaussian`. */
  initialise(config, parameter, values, rng) {
    if (parameter.name.endsWith('.lora_B.weight')) {
      values.fill(0);
      return;
    }
    const [rank, inputs] = parameter.shape as [number, number];
    const isGaussian = config.init_lora_weights === 'gaussian';
    const bound = 1 / Math.sqrt(inputs);
    for (let i = 0; i < values.length; i++) {
      values[i] = isGaussian ? rng.nextNormal() / rank : (2 * rng.nextFloat() - 1) * bound;
    }
  },

  bind(config, sites, tensors, { dropoutRng }) {
    const bound = new Map(boundSites(config, sites, tensors));
    return {
      linear(g, site, x, base) {
        const y = base(x);
        const delta = bound.get(site.path);
        if (delta) {
          const input = dropoutRng ? dropout(g, x, config.lora_dropout, dropoutRng) : x;
          addLowRankDelta(g, y, input, delta.a_RI, delta.b_OR, delta.scale);
        }
        return y;
      },
    };
  },

  compile(config, sites, tensors) {
    const compiled = new Map<string, readonly RowPrimitive[]>();
    let sizeBytes = 0;
    for (const [path, delta] of boundSites(config, sites, tensors)) {
      compiled.set(path, [{ kind: 'low-rank-delta', ...delta }]);
      sizeBytes += delta.a_RI.data.byteLength + delta.b_OR.data.byteLength;
    }
    return { sites: compiled, sizeBytes };
  },
};

interface BoundDelta {
  readonly a_RI: Tensor;
  readonly b_OR: Tensor;
  readonly scale: number;
}

function boundSites(
  config: LoraConfig,
  sites: readonly LinearSite[],
  tensors: AdapterTensors,
): (readonly [string, BoundDelta])[] {
  const scaleOf = loraScales(config);
  return resolveTargets(config, sites).map((site) => {
    const [a_RI, b_OR] = [tensors.get(keyOfA(site)), tensors.get(keyOfB(site))];
    assert(a_RI && b_OR, `the adapter has both matrices of ${site.path}`);
    return [site.path, { a_RI, b_OR, scale: scaleOf(site.path).scale }];
  });
}
