import { lokrShapes, tensorName, type LokrConfig } from '../../formats/index.ts';
import type { LinearSite } from '../../model/index.ts';
import { addDenseDelta, kronecker, matmul, type Graph, type Kernels, type Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { product, zerosLike } from '../dense.ts';
import { tensorAt, type AdapterTensors, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { kroneckerCost, type KroneckerDelta } from '../rows/kronecker-delta.ts';
import { resolveTargets } from '../targets.ts';
import { onTargets } from './on-targets.ts';
import { fillKaiming } from './initial-values.ts';
import { lycorisDropouts, lycorisScales } from './loha.ts';

/** ΔW = s · kron(w1, w2), each factor whole or a product: LoKr (Edalati et al., 2022, KronA; Yeh et al., 2024). */
export const lokr: TrainableMethod<LokrConfig> = {
  name: 'lokr',
  peftType: 'LOKR',

  untrained: (config) => [...lycorisDropouts(config), ...(config.init_weights === 'lycoris' ? ['init_weights'] : [])],

  parameters(config, sites) {
    const shapesOf = lokrShapes(config);
    return resolveTargets(config, sites).flatMap((site) =>
      Object.entries(shapesOf(site)).map(([factor, shape]) => ({ name: tensorName(site.path, factor), shape })),
    );
  },

  /** Kaiming-uniform, and the left factor (or the first of its two) zero: a new adapter changes nothing. */
  initialise(_config, { name, shape }, values, rng) {
    if (name.endsWith('lokr_w1') || name.endsWith('lokr_w1_a')) values.fill(0);
    else fillKaiming(values, shape[1], rng);
  },

  bind(config, base, tensors) {
    const scaleOf = lycorisScales(config);
    return onTargets(config, base, (g, site, x, layer) => {
      const y = layer(x);
      const factorOf = (name: string): Tensor => factorOnTape(g, tensors, site, name);
      addDenseDelta(g, y, x, kronecker(g, factorOf('lokr_w1'), factorOf('lokr_w2')), scaleOf(site.path));
      return y;
    });
  },

  compile(config, base, tensors) {
    const scaleOf = lycorisScales(config);
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of resolveTargets(config, base.sites)) {
      const delta = kroneckerDelta(base.kernels, tensors, site, scaleOf(site.path));
      sites.set(site.path, [asLowRank(delta, site) ?? delta]);
    }
    return assembleAdapter({ sites });
  },

  merge(config, { site, weight_OI, kernels }, tensors) {
    const [left, right] = [factor(kernels, tensors, site, 'lokr_w1'), factor(kernels, tensors, site, 'lokr_w2')];
    const C = left.shape[1];
    const [B, D] = right.shape as [number, number];
    const scale = lycorisScales(config)(site.path);
    for (let o = 0; o < site.out; o++) {
      for (let i = 0; i < site.in; i++) {
        const ofLeft = left.data[Math.floor(o / B) * C + Math.floor(i / D)];
        const ofRight = right.data[(o % B) * D + (i % D)];
        weight_OI[o * site.in + i] = weight_OI[o * site.in + i] + scale * ofLeft * ofRight;
      }
    }
  },
};

/** A factor as a matrix, however it is stored. */
function factor(kernels: Kernels, tensors: AdapterTensors, site: LinearSite, name: string): Tensor {
  return (
    tensors.get(tensorName(site.path, name)) ??
    product(kernels, tensorAt(tensors, site, `${name}_a`), tensorAt(tensors, site, `${name}_b`))
  );
}

function factorOnTape(g: Graph, tensors: AdapterTensors, site: LinearSite, name: string): Tensor {
  return (
    tensors.get(tensorName(site.path, name)) ??
    matmul(g, tensorAt(tensors, site, `${name}_a`), tensorAt(tensors, site, `${name}_b`))
  );
}

/** The left factor is small and kept as a matrix; the right one stays a product if it is stored as one. */
function kroneckerDelta(kernels: Kernels, tensors: AdapterTensors, site: LinearSite, scale: number): KroneckerDelta {
  const left_AC = factor(kernels, tensors, site, 'lokr_w1');
  const whole = tensors.get(tensorName(site.path, 'lokr_w2'));
  const right = whole
    ? ([whole] as const)
    : ([tensorAt(tensors, site, 'lokr_w2_a'), tensorAt(tensors, site, 'lokr_w2_b')] as const);
  return { kind: 'kronecker-delta', left_AC, right, scale };
}

/**
 * kron(L, Ra·Rb) = kron(L, Ra) · kron(1_C, Rb), of the rank C·K: taken where it is no more work, which is where L is a single number (a
 * dimension that is prime). Undefined otherwise.
 */
function asLowRank(delta: KroneckerDelta, site: LinearSite): RowPrimitive | undefined {
  const { left_AC, right } = delta;
  const [outer, inner] = right;
  if (inner === undefined) return undefined;
  const [A, C] = left_AC.shape as [number, number];
  const [B, K] = outer.shape as [number, number];
  const D = inner.shape[1];
  const rank = C * K;
  if (rank * (site.in + site.out) > kroneckerCost(delta)) return undefined;
  const b_OR = zerosLike(outer.data, A * B * rank);
  const a_RI = zerosLike(inner.data, rank * C * D);
  for (let c = 0; c < C; c++) {
    for (let k = 0; k < K; k++) {
      const column = c * K + k;
      for (let a = 0; a < A; a++) {
        for (let b = 0; b < B; b++) {
          b_OR[(a * B + b) * rank + column] = left_AC.data[a * C + c] * outer.data[b * K + k];
        }
      }
      a_RI.set(inner.data.subarray(k * D, (k + 1) * D), column * C * D + c * D);
    }
  }
  return {
    kind: 'low-rank-delta',
    a_RI: { shape: [rank, C * D], data: a_RI },
    b_OR: { shape: [A * B, rank], data: b_OR },
    scale: delta.scale,
  };
}
