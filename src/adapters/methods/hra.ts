import { tensorName, type HraConfig } from '../../formats/index.ts';
import {
  addInPlace,
  addLowRankDelta,
  reflectionFactors,
  unitRows,
  type Floats,
  type Graph,
  type Tensor,
} from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { computed, product } from '../dense.ts';
import { tensorAt, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { resolveTargets } from '../targets.ts';
import { onTargets } from './on-targets.ts';
import { fillKaiming } from './initial-values.ts';

const U = 'hra_u';

/**
 * Householder reflection adaptation (Yuan et al., 2024): y = W·H_1·…·H_r·x with H = I − 2·u·uᵀ/‖u‖². The product of r reflections is the
 * identity and a product of the rank r, so that what is served is a low-rank delta. With apply_GS the normals are made orthonormal first.
 */
export const hra: TrainableMethod<HraConfig> = {
  name: 'hra',
  peftType: 'HRA',

  /** Neither an odd number of reflections nor orthonormal ones are ever the identity: such an adapter could not start as the base. */
  untrained: ({ r, apply_GS }) => [...(apply_GS ? ['apply_GS'] : []), ...(r % 2 === 1 ? ['r'] : [])],

  parameters(config, sites) {
    return resolveTargets(config, sites).map((site) => ({
      name: tensorName(site.path, U),
      shape: [site.in, config.r],
    }));
  },

  /** Kaiming-uniform, every normal twice: a reflection and the same once more are the identity, and a new adapter changes nothing. */
  initialise({ r }, { shape: [inputs] }, values, rng) {
    const half = new Float64Array((inputs * r) / 2);
    fillKaiming(half, r / 2, rng);
    for (let i = 0; i < values.length; i++) values[i] = half[i >> 1];
  },

  bind(config, base, tensors) {
    return onTargets(config, base, (g, site, x, layer) => {
      const [a_RI, p_IR] = factors(g, tensorAt(tensors, site, U));
      const reflected = g.empty(x.shape);
      reflected.data.fill(0);
      addInPlace(g, reflected, x);
      addLowRankDelta(g, reflected, x, a_RI, p_IR, 1);
      return layer(reflected);
    });
  },

  /** W·(I + P·a) = W + (W·P)·a */
  compile(config, base, tensors) {
    const { kernels } = base;
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of resolveTargets(config, base.sites)) {
      const u = tensorAt(tensors, site, U);
      const reflected = config.apply_GS ? asColumns(normals(config, u), u) : u;
      const a_RI = computed(kernels, (g) => factors(g, reflected)[0]);
      const p_IR = computed(kernels, (g) => factors(g, reflected)[1]);
      const weight = kernels.thaw(base.layers[site.layer].linear[site.role].weight);
      const b_OR = product(kernels, { shape: [site.out, site.in], data: weight }, p_IR);
      sites.set(site.path, [{ kind: 'low-rank-delta', a_RI, b_OR, scale: 1 }]);
    }
    return assembleAdapter({ sites });
  },

  /** One reflection after the other on every row of W. */
  merge(config, { site, weight_OI }, tensors) {
    for (const u of normals(config, tensorAt(tensors, site, U))) {
      const squared = inner(u, u, 0);
      for (let begin = 0; begin < weight_OI.length; begin += site.in) {
        const along = (2 * inner(u, weight_OI, begin)) / squared;
        for (let i = 0; i < site.in; i++) weight_OI[begin + i] = weight_OI[begin + i] - along * u[i];
      }
    }
  },
};

/** Unit normals a_RI and P_IR with H_1·…·H_r = I + P·a. */
function factors(g: Graph, u_IR: Tensor): readonly [Tensor, Tensor] {
  const a_RI = unitRows(g, u_IR);
  return [a_RI, reflectionFactors(g, a_RI)];
}

function asColumns(columns: readonly Float64Array[], { shape, data: like }: Tensor): Tensor {
  const R = columns.length;
  const data = like.map((_, at) => columns[at % R][Math.floor(at / R)]);
  return { shape, data };
}

/** The normals of the reflections, of any length. */
function normals({ apply_GS }: HraConfig, { shape, data }: Tensor): Float64Array[] {
  const [I, R] = shape as [number, number];
  const made: Float64Array[] = [];
  for (let r = 0; r < R; r++) {
    const u = Float64Array.from({ length: I }, (_, i) => data[i * R + r]);
    for (const before of apply_GS ? made : []) {
      const along = inner(before, u, 0) / inner(before, before, 0);
      for (let i = 0; i < I; i++) u[i] -= along * before[i];
    }
    made.push(u);
  }
  return made;
}

/** u · x[begin …] */
function inner(u: Float64Array, x: Floats, begin: number): number {
  let sum = 0;
  for (let i = 0; i < u.length; i++) sum += u[i] * x[begin + i];
  return sum;
}
