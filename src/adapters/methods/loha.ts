import { patternMatcher, tensorName, type LohaConfig, type LokrConfig } from '../../formats/index.ts';
import type { LinearSite } from '../../model/index.ts';
import { addDenseDelta, matmul, multiply, type Kernels, type Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { product, zerosLike } from '../dense.ts';
import { tensorAt, type AdapterTensors, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { denseDelta } from '../rows/kronecker-delta.ts';
import { resolveTargets } from '../targets.ts';
import { onTargets } from './on-targets.ts';
import { fillKaiming } from './initial-values.ts';

/** `alpha/r` of each module by its path, for LoHa and LoKr. @throws CONFIG_INVALID */
export function lycorisScales(config: LohaConfig | LokrConfig): (path: string) => number {
  const rankOf = patternMatcher(config.rank_pattern, 'rank_pattern');
  const alphaOf = patternMatcher(config.alpha_pattern, 'alpha_pattern');
  return (path) => (alphaOf(path) ?? config.alpha) / (rankOf(path) ?? config.r);
}

/** Settings of LoHa and LoKr that drop parts of ΔW during training. */
export function lycorisDropouts(config: LohaConfig | LokrConfig): readonly string[] {
  const { rank_dropout, module_dropout } = config;
  return Object.entries({ rank_dropout, module_dropout }).flatMap(([name, share]) => (share > 0 ? [name] : []));
}

/** ΔW = s · (w1_a · w1_b) ⊙ (w2_a · w2_b): LoHa (Hyeon-Woo et al., 2022, FedPara; Yeh et al., 2024). */
export const loha: TrainableMethod<LohaConfig> = {
  name: 'loha',
  peftType: 'LOHA',

  untrained: lycorisDropouts,

  parameters(config, sites) {
    const rankOf = patternMatcher(config.rank_pattern, 'rank_pattern');
    return resolveTargets(config, sites).flatMap((site) => {
      const rank = rankOf(site.path) ?? config.r;
      return ['hada_w1', 'hada_w2'].flatMap((factor) => [
        { name: tensorName(site.path, `${factor}_a`), shape: [site.out, rank] },
        { name: tensorName(site.path, `${factor}_b`), shape: [rank, site.in] },
      ]);
    });
  },

  /** Kaiming-uniform, and w2_b zero: a new adapter changes nothing. */
  initialise(_config, { name, shape }, values, rng) {
    if (name.endsWith('hada_w2_b')) values.fill(0);
    else fillKaiming(values, shape[1], rng);
  },

  bind(config, base, tensors) {
    const scaleOf = lycorisScales(config);
    return onTargets(config, base, (g, site, x, layer) => {
      const y = layer(x);
      const { firstA, firstB, secondA, secondB } = factorsOf(tensors, site);
      const delta_OI = multiply(g, matmul(g, firstA, firstB), matmul(g, secondA, secondB));
      addDenseDelta(g, y, x, delta_OI, scaleOf(site.path));
      return y;
    });
  },

  compile(config, base, tensors) {
    const scaleOf = lycorisScales(config);
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of resolveTargets(config, base.sites)) {
      const factors = factorsOf(tensors, site);
      const rank = factors.firstA.shape[1] ** 2;
      // A product of the rank r² costs r²·(in + out), the matrix itself in·out.
      const isSmaller = rank * (site.in + site.out) < site.in * site.out;
      const scale = scaleOf(site.path);
      sites.set(site.path, [isSmaller ? asProduct(factors, scale) : asMatrix(base.kernels, factors, scale)]);
    }
    return assembleAdapter({ sites });
  },

  merge(config, { site, weight_OI, kernels }, tensors) {
    const delta = hadamard(kernels, factorsOf(tensors, site));
    const scale = lycorisScales(config)(site.path);
    for (let i = 0; i < weight_OI.length; i++) weight_OI[i] = weight_OI[i] + scale * delta.data[i];
  },
};

interface LohaFactors {
  readonly firstA: Tensor;
  readonly firstB: Tensor;
  readonly secondA: Tensor;
  readonly secondB: Tensor;
}

function factorsOf(tensors: AdapterTensors, site: LinearSite): LohaFactors {
  return {
    firstA: tensorAt(tensors, site, 'hada_w1_a'),
    firstB: tensorAt(tensors, site, 'hada_w1_b'),
    secondA: tensorAt(tensors, site, 'hada_w2_a'),
    secondB: tensorAt(tensors, site, 'hada_w2_b'),
  };
}

function hadamard(kernels: Kernels, { firstA, firstB, secondA, secondB }: LohaFactors): Tensor {
  const first = product(kernels, firstA, firstB);
  const second = product(kernels, secondA, secondB);
  for (let i = 0; i < first.data.length; i++) first.data[i] = first.data[i] * second.data[i];
  return first;
}

function asMatrix(kernels: Kernels, factors: LohaFactors, scale: number): RowPrimitive {
  return denseDelta(hadamard(kernels, factors), scale);
}

/**
 * The Hadamard product of two products is one product again: (Σ_p a_p b_p)(Σ_q c_q d_q) = Σ_pq (a_p c_q)(b_p d_q), so its factors are the
 * row-wise and the column-wise Khatri–Rao products of the four, of the exact rank r².
 */
function asProduct({ firstA, firstB, secondA, secondB }: LohaFactors, scale: number): RowPrimitive {
  const [O, R] = firstA.shape as [number, number];
  const I = firstB.shape[1];
  const rank = R * R;
  const b_OR = zerosLike(firstA.data, O * rank);
  const a_RI = zerosLike(firstB.data, rank * I);
  for (let p = 0; p < R; p++) {
    for (let q = 0; q < R; q++) {
      const pair = p * R + q;
      for (let o = 0; o < O; o++) b_OR[o * rank + pair] = firstA.data[o * R + p] * secondA.data[o * R + q];
      for (let i = 0; i < I; i++) a_RI[pair * I + i] = firstB.data[p * I + i] * secondB.data[q * I + i];
    }
  }
  return {
    kind: 'low-rank-delta',
    a_RI: { shape: [rank, I], data: a_RI },
    b_OR: { shape: [O, rank], data: b_OR },
    scale,
  };
}
