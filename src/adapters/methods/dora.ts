import { fail } from '../../base/index.ts';
import type { LoraConfig } from '../../formats/index.ts';
import type { BaseModel } from '../../model/index.ts';
import type { Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { addProduct, rowNorms, scaleRows } from '../dense.ts';
import { tensorAt, type Method } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { loraDeltas, loraScales, loraTokenRows, type LoraDelta } from './lora.ts';

const MAGNITUDE = 'lora_magnitude_vector';

/**
 * DoRA (Liu et al., 2024) with PEFT's semantics: y = m/‖W + s·B·A‖ ⊙ (W·x + s·B·A·x) + bias, the norm being that of each output's row. The
 * norms are computed once, from the base as it is served. The base's bias is not scaled.
 */
export const dora: Method<LoraConfig> = {
  name: 'dora',
  peftType: 'LORA',
  accepts: ({ use_dora }) => use_dora,

  compile(config, base, tensors) {
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const delta of loraDeltas(config, base.sites, tensors)) {
      const { site, a_RI, b_OR, scale } = delta;
      const factor_O = outputFactor(base, delta, tensorAt(tensors, site, MAGNITUDE));
      const primitives: RowPrimitive[] = [
        { kind: 'low-rank-delta', a_RI, b_OR, scale },
        { kind: 'scale-output', factor_O },
      ];
      const { bias } = base.layers[site.layer].linear[site.role];
      // What comes out of the layer has its bias in it, which the scale-output has scaled: give back the difference.
      if (bias) primitives.push({ kind: 'bias', bias_O: unscaled(bias, factor_O) });
      sites.set(site.path, primitives);
    }
    return assembleAdapter({ sites, tokenRows: loraTokenRows(config, base, tensors) });
  },

  merge(config, { site, weight_OI, kernels }, tensors) {
    const { scale } = loraScales(config)(site.path);
    const [a, b] = [tensorAt(tensors, site, 'lora_A.weight'), tensorAt(tensors, site, 'lora_B.weight')];
    addProduct(kernels, weight_OI, b, a, scale);
    const norms = rowNorms(kernels, weight_OI, site.out);
    const magnitude = tensorAt(tensors, site, MAGNITUDE).data;
    scaleRows(
      weight_OI,
      norms.map((norm, o) => magnitude[o] / norm),
    );
  },
};

/** m/‖W + s·B·A‖, [out]. @throws ADAPTER_INVALID for a row of zeros */
function outputFactor(base: BaseModel, { site, a_RI, b_OR, scale }: LoraDelta, magnitude_O: Tensor): Tensor {
  const { weight } = base.layers[site.layer].linear[site.role];
  const dense_OI = base.kernels.thaw(weight);
  addProduct(base.kernels, dense_OI, b_OR, a_RI, scale);
  const norms = rowNorms(base.kernels, dense_OI, site.out);
  const data = magnitude_O.data.slice();
  for (let o = 0; o < site.out; o++) {
    data[o] = data[o] / norms[o];
    if (!Number.isFinite(data[o])) {
      fail('ADAPTER_INVALID', `${site.path}: W + B·A has zeros only in row ${o}: DoRA divides by its norm`, {
        param: site.path,
      });
    }
  }
  return { shape: [site.out], data };
}

/** bias ⊙ (1 − factor) */
function unscaled(bias: Tensor, factor: Tensor): Tensor {
  const data = factor.data.slice();
  for (let o = 0; o < data.length; o++) data[o] = bias.data[o] * (1 - factor.data[o]);
  return { shape: bias.shape, data };
}
