import { tensorName, vbloraTiles, VECTOR_BANK, type VbloraConfig } from '../../formats/index.ts';
import type { LinearSite } from '../../model/index.ts';
import { addLowRankDelta, dropout, mixTopVectors, rearrange, type Graph, type Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { addProduct, computed, zerosLike } from '../dense.ts';
import { requireTensor, tensorAt, type AdapterTensors, type ParameterSpec, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { resolveTargets } from '../targets.ts';
import { onTargets } from './on-targets.ts';
import { fillUniform } from './initial-values.ts';

const LOGITS_A = 'vblora_logits_A';
const LOGITS_B = 'vblora_logits_B';

/**
 * VB-LoRA (Li et al., 2024): y = W·x + B·A·x, where A and B of all modules are put together from one bank of vectors: each stretch of them is a mix
 * of the k vectors with the largest logits. Bank and logits are trained.
 */
export const vblora: TrainableMethod<VbloraConfig> = {
  name: 'vblora',
  peftType: 'VBLORA',
  sharesProduct: true,

  parameters(config, sites) {
    const { r, num_vectors: V, vector_length: L } = config;
    const bank: ParameterSpec = { name: VECTOR_BANK, shape: [V, L] };
    return [
      bank,
      ...resolveTargets(config, sites).flatMap((site) => {
        const tiles = vbloraTiles(config, site);
        return [
          { name: tensorName(site.path, LOGITS_A), shape: [r, tiles.in, V] },
          { name: tensorName(site.path, LOGITS_B), shape: [tiles.out, r, V] },
        ];
      }),
    ];
  },

  /** As the paper: a small bank, which nothing would flow back to if it were zero. A new adapter changes the base a little. */
  initialise({ init_vector_bank_bound: bound, init_logits_std: deviation }, { name }, values, rng) {
    if (name === VECTOR_BANK) fillUniform(values, bound, rng);
    else for (let i = 0; i < values.length; i++) values[i] = deviation * rng.nextNormal();
  },

  bind(config, base, tensors, { dropoutRng }) {
    return onTargets(config, base, (g, site, x, layer) => {
      const y = layer(x);
      const input = dropoutRng ? dropout(g, x, config.vblora_dropout, dropoutRng) : x;
      addLowRankDelta(g, y, input, matrixA(g, config, site, tensors), matrixB(g, config, site, tensors), 1);
      return y;
    });
  },

  compile(config, base, tensors) {
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of resolveTargets(config, base.sites)) {
      const a_RI = computed(base.kernels, (g) => matrixA(g, config, site, tensors));
      const b_OR = computed(base.kernels, (g) => matrixB(g, config, site, tensors));
      sites.set(site.path, [{ kind: 'low-rank-delta', a_RI, b_OR, scale: 1 }]);
    }
    return assembleAdapter({ sites });
  },

  merge(config, { site, weight_OI, kernels }, tensors) {
    const { r, vector_length: L } = config;
    const bank = requireTensor(tensors, VECTOR_BANK);
    const [ofA, ofB] = [tensorAt(tensors, site, LOGITS_A), tensorAt(tensors, site, LOGITS_B)];
    const [a, b] = [zerosLike(ofA.data, r * site.in), zerosLike(ofB.data, site.out * r)];
    for (let k = 0; k < r; k++) {
      for (let i = 0; i < site.in; i++) a[k * site.in + i] = mixed(config, ofA, bank, k * (site.in / L), i);
      for (let o = 0; o < site.out; o++) b[o * r + k] = mixed(config, ofB, bank, Math.floor(o / L) * r + k, o % L);
    }
    addProduct(kernels, weight_OI, { shape: [site.out, r], data: b }, { shape: [r, site.in], data: a }, 1);
  },
};

/** a_RI: the mixes of a rank side by side. */
function matrixA(g: Graph, { r, topk }: VbloraConfig, site: LinearSite, tensors: AdapterTensors): Tensor {
  const mixes = mixTopVectors(g, tensorAt(tensors, site, LOGITS_A), requireTensor(tensors, VECTOR_BANK), topk);
  const sources = Int32Array.from({ length: r * site.in }, (_, at) => at);
  return rearrange(g, mixes, sources, [r, site.in]);
}

/** b_OR: the mixes of a rank one below the other. */
function matrixB(g: Graph, config: VbloraConfig, site: LinearSite, tensors: AdapterTensors): Tensor {
  const { r, topk, vector_length: L } = config;
  const mixes = mixTopVectors(g, tensorAt(tensors, site, LOGITS_B), requireTensor(tensors, VECTOR_BANK), topk);
  const sources = Int32Array.from({ length: site.out * r }, (_, at) => {
    const [o, k] = [Math.floor(at / r), at % r];
    return (Math.floor(o / L) * r + k) * L + (o % L);
  });
  return rearrange(g, mixes, sources, [site.out, r]);
}

/** Number `at` of a row of stretches that begins with logits row `row`. */
function mixed(
  { topk, vector_length: L }: VbloraConfig,
  logits: Tensor,
  bank: Tensor,
  row: number,
  at: number,
): number {
  const V = bank.shape[0];
  const begin = (row + Math.floor(at / L)) * V;
  const values = logits.data.subarray(begin, begin + V);
  const top = [...values.keys()].sort((v, w) => values[w] - values[v] || v - w).slice(0, topk);
  const weights = top.map((v) => Math.exp(values[v] - values[top[0]]));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return top.reduce((total, v, j) => total + (weights[j] / sum) * bank.data[v * L + (at % L)], 0);
}
