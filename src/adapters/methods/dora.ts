import { fail } from '../../base/index.ts';
import { tensorName, type LoraConfig } from '../../formats/index.ts';
import type { BaseModel } from '../../model/index.ts';
import {
  addColumns,
  addInPlace,
  addLowRankDelta,
  dropout,
  scaleAround,
  type Graph,
  type Tensor,
} from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { addProduct, rowNorms, scaleRows, unscaledBias } from '../dense.ts';
import { siteOf, tensorAt, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { loraTargets } from '../targets.ts';
import { addBiasDifferences, biasDifferences, biasHook, biasParameters, mergeBias } from './base-biases.ts';
import { initialiseLora, loraDeltas, loraMatrices, type LoraDelta } from './lora.ts';
import { compileParts, foldParts, partHooks, partParameters } from './lora-parts.ts';
import { tyingWarnings } from './tied-update.ts';
import { loraScales } from './lora-scales.ts';

const MAGNITUDE = 'lora_magnitude_vector';

/**
 * DoRA (Liu et al., 2024) with PEFT's semantics: y = m/‖W + s·B·A‖ ⊙ (W·x + s·B·A·x) + bias, the norm being that of each output's row. The
 * norms are computed once, from the base as it is served. The base's bias is not scaled.
 */
export const dora: TrainableMethod<LoraConfig> = {
  name: 'dora',
  peftType: 'LORA',
  accepts: ({ use_dora }) => use_dora,

  parameters(config, sites, model) {
    const ofModules = loraTargets(config, sites).linear.flatMap((site) => [
      ...loraMatrices(config, site),
      { name: tensorName(site.path, MAGNITUDE), shape: [site.out] },
    ]);
    return [...ofModules, ...biasParameters(config, sites), ...partParameters(config, sites, model)];
  },

  /** The magnitude starts as the norm of W's rows, since B is zero: a new adapter changes nothing. */
  initialise(config, parameter, values, rng, base) {
    if (!parameter.name.endsWith(`.${MAGNITUDE}`)) {
      initialiseLora(config, parameter, values, rng, base);
      return;
    }
    const site = siteOf(parameter, base);
    const { weight } = base.layers[site.layer].linear[site.role];
    values.set(rowNorms(base.kernels, base.kernels.thaw(weight), site.out));
  },

  /**
   * As PEFT computes it, with the norm held constant on the way back (section 4.3 of the paper). Under dropout the direct path sees the
   * whole input, and what the adapter adds to it the input with zeros.
   */
  bind(config, base, tensors, { dropoutRng }) {
    const bound = new Map(loraDeltas(config, base.sites, tensors).map((delta) => [delta.site.path, delta]));
    const withBias = biasHook(config, base, tensors);
    return {
      ...partHooks(config, base, tensors, dropoutRng),
      linear(g, site, x, layer) {
        const delta = bound.get(site.path);
        if (!delta) return withBias(g, site, layer(x));
        const { bias } = base.layers[site.layer].linear[site.role];
        const factor = factorOnTape(g, tensorAt(tensors, site, MAGNITUDE), normsOf(base, delta));
        const input = dropoutRng ? dropout(g, x, config.lora_dropout, dropoutRng) : x;
        const y = layer(input);
        addLowRankDelta(g, y, input, delta.a_RI, delta.b_OR, delta.scale);
        const scaled = scaleAround(g, y, factor, bias);
        // f·(W·d + s·B·A·d) + W·(x − d), with d for the input with zeros.
        if (input !== x) addInPlace(g, scaled, withoutBias(g, layer(difference(g, x, input)), bias));
        return withBias(g, site, scaled);
      },
    };
  },

  warnings: tyingWarnings,

  fold: foldParts,

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
      if (bias) primitives.push({ kind: 'bias', bias_O: unscaledBias(bias, factor_O) });
      sites.set(site.path, primitives);
    }
    addBiasDifferences(sites, biasDifferences(config, base, tensors));
    return assembleAdapter({ sites, ...compileParts(config, base, tensors) });
  },

  merge(config, { site, weight_OI, bias_O, kernels }, tensors) {
    mergeBias(site, bias_O, tensors);
    if (!tensors.has(tensorName(site.path, 'lora_A.weight'))) return;
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

/** The norm of each row of W + s·B·A. */
function normsOf(base: BaseModel, { site, a_RI, b_OR, scale }: LoraDelta): Float64Array {
  const { weight } = base.layers[site.layer].linear[site.role];
  const dense_OI = base.kernels.thaw(weight);
  addProduct(base.kernels, dense_OI, b_OR, a_RI, scale);
  return rowNorms(base.kernels, dense_OI, site.out);
}

/** m/‖W + s·B·A‖, [out]. @throws ADAPTER_INVALID for a row of zeros */
function outputFactor(base: BaseModel, delta: LoraDelta, magnitude_O: Tensor): Tensor {
  const { site } = delta;
  const norms = normsOf(base, delta);
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

/** The same on the tape, the norms being constants. */
function factorOnTape(g: Graph, magnitude_O: Tensor, norms: Float64Array): Tensor {
  const factor = g.empty(magnitude_O.shape);
  for (let o = 0; o < norms.length; o++) factor.data[o] = magnitude_O.data[o] / norms[o];
  g.record(factor, [magnitude_O], [], (dFactor) => {
    const { tensor, accumulate } = g.gradient(magnitude_O);
    for (let o = 0; o < norms.length; o++) {
      tensor.data[o] = (accumulate ? tensor.data[o] : 0) + dFactor.data[o] / norms[o];
    }
  });
  return factor;
}

/** x − y */
function difference(g: Graph, x: Tensor, y: Tensor): Tensor {
  const result = g.empty(x.shape);
  for (let i = 0; i < x.data.length; i++) result.data[i] = x.data[i] - y.data[i];
  g.record(result, [x, y], [], (dResult) => {
    if (!g.needsGradient(x)) return;
    for (const [input, sign] of [
      [x, 1],
      [y, -1],
    ] as const) {
      const { tensor, accumulate } = g.gradient(input);
      if (!accumulate) tensor.data.fill(0);
      g.kernels.axpy(tensor.data, dResult.data, sign);
    }
  });
  return result;
}

/** A layer's output without the bias that the layer has added. In place: nothing has read it. */
function withoutBias(g: Graph, y: Tensor, bias: Tensor | undefined): Tensor {
  if (bias) addColumns(g, y, bias, -1);
  return y;
}
