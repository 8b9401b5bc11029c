import { missForm, missShape, tensorName, type MissConfig } from '../../formats/index.ts';
import type { BaseModel, LinearSite } from '../../model/index.ts';
import {
  addDenseDelta,
  addLowRankDelta,
  blockProducts,
  dropout,
  rearrange,
  type Floats,
  type Graph,
  type Tensor,
} from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { computed, zerosLike } from '../dense.ts';
import { tensorAt, type AdapterTensors, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { denseDelta } from '../rows/kronecker-delta.ts';
import { resolveTargets } from '../targets.ts';

const BLOCK = 'miss_block';

/**
 * MiSS (Kang and Yin, 2024): the columns of ΔW repeat with the period r, so y = W·x + Mᵀ·Σ_k x_k over the stretches x_k of r inputs (the last one
 * may be shorter). `mini` repeats the rows too; `bat` changes each block of W by itself: ΔW_nm = W_nm·M_n + M_n.
 */
export const miss: TrainableMethod<MissConfig> = {
  name: 'miss',
  peftType: 'MISS',
  sharesProduct: true,

  parameters(config, sites) {
    return resolveTargets(config, sites).map((site) => ({
      name: tensorName(site.path, BLOCK),
      shape: missShape(config, site),
    }));
  },

  /** Zeros: a new adapter changes nothing. */
  initialise: (_config, _parameter, values) => void values.fill(0),

  bind(config, base, tensors, { dropoutRng }) {
    const targets = resolveTargets(config, base.sites);
    const bound = new Set(targets.map(({ path }) => path));
    const folds = new Map([...new Set(targets.map((site) => site.in))].map((width) => [width, fold(config.r, width)]));
    return {
      linear(g, site, x, layer) {
        const y = layer(x);
        const a_RI = folds.get(site.in);
        if (!bound.has(site.path) || !a_RI) return y;
        if (missForm(config) === 'bat') {
          addDenseDelta(g, y, x, blockDelta(g, base, site, tensors), 1);
          return y;
        }
        const input = dropoutRng ? dropout(g, x, config.miss_dropout, dropoutRng) : x;
        addLowRankDelta(g, y, input, inPrecisionOf(a_RI, x.data), outputRows(g, config, site, tensors), 1);
        return y;
      },
    };
  },

  compile(config, base, tensors) {
    const { kernels } = base;
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of resolveTargets(config, base.sites)) {
      if (missForm(config) === 'bat') {
        sites.set(site.path, [
          denseDelta(
            computed(kernels, (g) => blockDelta(g, base, site, tensors)),
            1,
          ),
        ]);
        continue;
      }
      const b_OR = computed(kernels, (g) => outputRows(g, config, site, tensors));
      sites.set(site.path, [
        { kind: 'low-rank-delta', a_RI: inPrecisionOf(fold(config.r, site.in), b_OR.data), b_OR, scale: 1 },
      ]);
    }
    return assembleAdapter({ sites });
  },

  merge(config, { site, weight_OI }, tensors) {
    const { r } = config;
    const { shape, data } = tensorAt(tensors, site, BLOCK);
    const before = weight_OI.slice();
    const width = shape[1];
    for (let o = 0; o < site.out; o++) {
      for (let i = 0; i < site.in; i++) {
        const at = o * site.in + i;
        if (missForm(config) !== 'bat') {
          weight_OI[at] = before[at] + data[(i % r) * width + (o % width)];
          continue;
        }
        const block = Math.floor(o / r) * r * r;
        let sum = before[at] + data[block + (o % r) * r + (i % r)];
        for (let k = 0; k < r; k++) sum += before[at - (i % r) + k] * data[block + k * r + (i % r)];
        weight_OI[at] = sum;
      }
    }
  },
};

/** a_RI that adds up the stretches of R inputs. */
function fold(R: number, I: number): Tensor {
  const data = new Float32Array(R * I);
  for (let i = 0; i < I; i++) data[(i % R) * I + i] = 1;
  return { shape: [R, I], data };
}

function inPrecisionOf({ shape, data }: Tensor, values: Floats): Tensor {
  if (values instanceof Float32Array) return { shape, data };
  const wide = zerosLike(values, data.length);
  wide.set(data);
  return { shape, data: wide };
}

/** b_OR: the rows of the block as columns, repeated until there is a row for each output. */
function outputRows(g: Graph, { r }: MissConfig, site: LinearSite, tensors: AdapterTensors): Tensor {
  const block = tensorAt(tensors, site, BLOCK);
  const width = block.shape[1];
  const sources = Int32Array.from({ length: site.out * r }, (_, at) => (at % r) * width + (Math.floor(at / r) % width));
  return rearrange(g, block, sources, [site.out, r]);
}

function blockDelta(g: Graph, base: BaseModel, site: LinearSite, tensors: AdapterTensors): Tensor {
  const weight = base.kernels.thaw(base.layers[site.layer].linear[site.role].weight);
  return blockProducts(g, weight, tensorAt(tensors, site, BLOCK), site.in);
}
