import {
  RANDLORA_A,
  RANDLORA_B,
  randloraShared,
  randloraSizes,
  tensorName,
  type RandloraConfig,
} from '../../formats/index.ts';
import type { LinearSite } from '../../model/index.ts';
import { addLowRankDelta, dropout, scaledBases, transpose, type Graph, type Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { computed, product, zerosLike } from '../dense.ts';
import { requireTensor, tensorAt, type AdapterTensors, type ParameterSpec, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { denseDelta } from '../rows/kronecker-delta.ts';
import { resolveTargets } from '../targets.ts';
import { fillUniform } from './initial-values.ts';

const LAMBDA = 'randlora_lambda';
const GAMMA = 'randlora_gamma';

/**
 * RandLoRA (Albert et al., 2025): ΔW = alpha/r · Σ_n B_n·Λ_n·A·Γ_n, a sum of products of random bases that together reach the full rank. A and the
 * B_n are frozen and one set for all modules; a module uses their first rows and columns, A on its shorter side. The diagonals Λ_n and
 * Γ_n are trained.
 */
export const randlora: TrainableMethod<RandloraConfig> = {
  name: 'randlora',
  peftType: 'RANDLORA',
  sharesProduct: true,

  /** Sparse bases would be drawn in another way. */
  untrained: ({ sparse, very_sparse }) =>
    Object.entries({ sparse, very_sparse }).flatMap(([name, is]) => (is ? [name] : [])),

  parameters(config, sites) {
    const targets = resolveTargets(config, sites);
    const { short, long, numBases } = randloraShared(config, targets);
    const shared: ParameterSpec[] = [
      { name: RANDLORA_A, shape: [config.r, 1, short], isFrozen: true },
      { name: RANDLORA_B, shape: [long, numBases, config.r], isFrozen: true },
    ];
    return shared.concat(
      targets.flatMap((site) => {
        const sizes = randloraSizes(config, site);
        return [
          { name: tensorName(site.path, LAMBDA), shape: [config.r, sizes.numBases] },
          { name: tensorName(site.path, GAMMA), shape: [sizes.numBases, sizes.short] },
        ];
      }),
    );
  },

  /** Λ is zero, so that a new adapter changes nothing. The bases are uniform with the deviation 1 that PEFT gives them, from our generator. */
  initialise(_config, { name, shape }, values, rng) {
    if (name === RANDLORA_A || name === RANDLORA_B) fillUniform(values, Math.sqrt(3), rng);
    else values.fill(name.endsWith(LAMBDA) ? 0 : 1 / Math.max(...shape));
  },

  bind(config, base, tensors, { dropoutRng }) {
    const targets = resolveTargets(config, base.sites);
    const bound = new Set(targets.map(({ path }) => path));
    // The bases are frozen: what a shape of layer needs of them can be taken once.
    const bases = new Map(targets.map((site) => [shapeKey(site), basesOf(config, site, tensors)] as const));
    return {
      linear(g, site, x, layer) {
        const y = layer(x);
        const own = bases.get(shapeKey(site));
        if (!bound.has(site.path) || !own) return y;
        const input = dropoutRng ? dropout(g, x, config.randlora_dropout, dropoutRng) : x;
        const short_RS = shortSide(g, site, tensors, own);
        // The trained side is that of the inputs or of the outputs, whichever are fewer.
        if (own.isInputShort) addLowRankDelta(g, y, input, short_RS, own.long_LR, scaleOf(config));
        else addLowRankDelta(g, y, input, own.long_RL, transpose(g, short_RS), scaleOf(config));
        return y;
      },
    };
  },

  compile(config, base, tensors) {
    const { kernels } = base;
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of resolveTargets(config, base.sites)) {
      const own = basesOf(config, site, tensors);
      const short_RS = computed(kernels, (g) => shortSide(g, site, tensors, own));
      // Of the full rank: a matrix costs less than its factors.
      const delta = own.isInputShort
        ? product(kernels, own.long_LR, short_RS)
        : product(
            kernels,
            computed(kernels, (g) => transpose(g, short_RS)),
            own.long_RL,
          );
      sites.set(site.path, [denseDelta(delta, scaleOf(config))]);
    }
    return assembleAdapter({ sites });
  },

  merge(config, { site, weight_OI, kernels }, tensors) {
    const { short, long, numBases: N } = randloraSizes(config, site);
    const { r } = config;
    const [a, b] = [requireTensor(tensors, RANDLORA_A), requireTensor(tensors, RANDLORA_B)];
    const [lambda, gamma] = [tensorAt(tensors, site, LAMBDA).data, tensorAt(tensors, site, GAMMA).data];
    const [widthA, widthB] = [a.shape[2], b.shape[1] * r];
    const scaled = zerosLike(a.data, N * r * short);
    const first = zerosLike(b.data, long * N * r);
    for (let j = 0; j < N * r; j++) {
      // PEFT lays A's products out by rank, then base, and B's by base, then rank.
      const [k, n] = [Math.floor(j / N), j % N];
      for (let s = 0; s < short; s++) scaled[j * short + s] = lambda[j] * a.data[k * widthA + s] * gamma[n * short + s];
      for (let l = 0; l < long; l++) first[l * N * r + j] = b.data[l * widthB + j];
    }
    const delta = product(kernels, { shape: [long, N * r], data: first }, { shape: [N * r, short], data: scaled }).data;
    for (let o = 0; o < site.out; o++) {
      for (let i = 0; i < site.in; i++) {
        const at = site.in <= site.out ? o * short + i : i * short + o;
        weight_OI[o * site.in + i] = weight_OI[o * site.in + i] + scaleOf(config) * delta[at];
      }
    }
  },
};

const scaleOf = ({ randlora_alpha: alpha, r }: RandloraConfig): number => alpha / r;
const shapeKey = (site: LinearSite): string => `${site.out} ${site.in}`;

/** What a module takes of the shared bases. */
interface OwnBases {
  readonly isInputShort: boolean;
  /** [r, short] */
  readonly basis_RS: Tensor;
  /** [long, N·r] and transposed, whichever the module needs. */
  readonly long_LR: Tensor;
  readonly long_RL: Tensor;
}

function basesOf(config: RandloraConfig, site: LinearSite, tensors: AdapterTensors): OwnBases {
  const { r } = config;
  const { short, long, numBases } = randloraSizes(config, site);
  const [a, b] = [requireTensor(tensors, RANDLORA_A), requireTensor(tensors, RANDLORA_B)];
  const R = numBases * r;
  const basis = zerosLike(a.data, r * short);
  for (let k = 0; k < r; k++) basis.set(a.data.subarray(k * a.shape[2], k * a.shape[2] + short), k * short);
  const [rows, columns] = [zerosLike(b.data, long * R), zerosLike(b.data, long * R)];
  for (let l = 0; l < long; l++) {
    const row = b.data.subarray(l * b.shape[1] * r, l * b.shape[1] * r + R);
    rows.set(row, l * R);
    for (let j = 0; j < R; j++) columns[j * long + l] = row[j];
  }
  return {
    isInputShort: site.in <= site.out,
    basis_RS: { shape: [r, short], data: basis },
    long_LR: { shape: [long, R], data: rows },
    long_RL: { shape: [R, long], data: columns },
  };
}

function shortSide(g: Graph, site: LinearSite, tensors: AdapterTensors, { basis_RS }: OwnBases): Tensor {
  return scaledBases(g, basis_RS, tensorAt(tensors, site, LAMBDA), tensorAt(tensors, site, GAMMA));
}
