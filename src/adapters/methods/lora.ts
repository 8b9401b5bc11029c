import type { Rng } from '../../base/index.ts';
import { tensorName, type LoraConfig } from '../../formats/index.ts';
import type { BaseModel, LinearSite } from '../../model/index.ts';
import { addColumns, addLowRankDelta, dropout, type Floats, type Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { addProduct } from '../dense.ts';
import { tensorAt, type AdapterTensors, type ParameterSpec, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { loraTargets } from '../targets.ts';
import {
  addBiasDifferences,
  biasDifferences,
  biasHook,
  biasParameters,
  initialiseBias,
  mergeBias,
} from './base-biases.ts';
import { compileParts, drawA, foldParts, initialisePart, partHooks, partParameters } from './lora-parts.ts';
import { tyingRule, tyingWarnings } from './tied-update.ts';
import { loraScales } from './lora-scales.ts';

const A = 'lora_A.weight';
const B = 'lora_B.weight';
const BIAS = 'lora_B.bias';

/**
 * LoRA (Hu et al., 2021) with PEFT's semantics: y = W·x + scale · (B·A·dropout(x) + bias). A is [R, in], B is [out, R] and starts at zero. The base's
 * biases may be trained too, whole.
 */
export const lora: TrainableMethod<LoraConfig> = {
  name: 'lora',
  peftType: 'LORA',
  accepts: ({ use_dora }) => !use_dora,
  sharesProduct: true,

  parameters: (config, sites, model) => [
    ...loraParameters(config, sites),
    ...biasParameters(config, sites),
    ...partParameters(config, sites, model),
  ],

  initialise: initialiseLora,

  bind(config, base, tensors, { dropoutRng }) {
    const bound = new Map(loraDeltas(config, base.sites, tensors).map((delta) => [delta.site.path, delta]));
    const withBias = biasHook(config, base, tensors);
    return {
      ...partHooks(config, base, tensors, dropoutRng),
      linear(g, site, x, layer) {
        const y = layer(x);
        const delta = bound.get(site.path);
        if (delta) {
          const input = dropoutRng ? dropout(g, x, config.lora_dropout, dropoutRng) : x;
          addLowRankDelta(g, y, input, delta.a_RI, delta.b_OR, delta.scale);
          if (config.lora_bias) addColumns(g, y, tensorAt(tensors, site, BIAS), delta.scale);
        }
        return withBias(g, site, y);
      },
    };
  },

  warnings: tyingWarnings,
  stepRule: tyingRule,

  fold: foldParts,

  compile(config, base, tensors) {
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const { site, a_RI, b_OR, scale } of loraDeltas(config, base.sites, tensors)) {
      const primitives: RowPrimitive[] = [{ kind: 'low-rank-delta', a_RI, b_OR, scale }];
      if (config.lora_bias) {
        const { shape, data } = tensorAt(tensors, site, BIAS);
        const scaled = data.slice();
        for (let o = 0; o < scaled.length; o++) scaled[o] = scale * data[o];
        primitives.push({ kind: 'bias', bias_O: { shape, data: scaled } });
      }
      sites.set(site.path, primitives);
    }
    addBiasDifferences(sites, biasDifferences(config, base, tensors));
    return assembleAdapter({ sites, ...compileParts(config, base, tensors) });
  },

  merge(config, { site, weight_OI, bias_O, kernels }, tensors) {
    mergeBias(site, bias_O, tensors);
    if (!tensors.has(tensorName(site.path, A))) return;
    const { scale } = loraScales(config)(site.path);
    addProduct(kernels, weight_OI, tensorAt(tensors, site, B), tensorAt(tensors, site, A), scale);
    if (!config.lora_bias) return;
    const { data } = tensorAt(tensors, site, BIAS);
    for (let o = 0; o < site.out; o++) bias_O[o] = bias_O[o] + scale * data[o];
  },
};

/** The matrices, and biases, of every module that the config targets. @throws TARGET_UNMATCHED CONFIG_INVALID */
export function loraParameters(config: LoraConfig, sites: readonly LinearSite[]): ParameterSpec[] {
  return loraTargets(config, sites).linear.flatMap((site) => [
    ...loraMatrices(config, site),
    ...(config.lora_bias ? [{ name: tensorName(site.path, BIAS), shape: [site.out] }] : []),
  ]);
}

/** A and B of a module. */
export function loraMatrices(config: LoraConfig, site: LinearSite): ParameterSpec[] {
  const { rank } = loraScales(config)(site.path);
  return [
    { name: tensorName(site.path, A), shape: [rank, site.in] },
    { name: tensorName(site.path, B), shape: [site.out, rank] },
  ];
}

/** As PEFT does it: A is Kaiming-uniform, or N(0, 1/r) for `gaussian`; B and its bias are zero. */
export function initialiseLora(
  config: LoraConfig,
  parameter: ParameterSpec,
  values: Floats,
  rng: Rng,
  base: BaseModel,
): void {
  if (initialisePart(config, parameter, values, rng, base)) return;
  if (initialiseBias(config, parameter, values, base)) return;
  if (parameter.name.endsWith(`.${A}`)) drawA(config, values, parameter.shape, rng);
  else values.fill(0);
}

/** A module's part of a LoRA. */
export interface LoraDelta {
  readonly site: LinearSite;
  readonly a_RI: Tensor;
  readonly b_OR: Tensor;
  readonly scale: number;
}

/** The matrices of every module that the config targets. @throws TARGET_UNMATCHED CONFIG_INVALID */
export function loraDeltas(config: LoraConfig, sites: readonly LinearSite[], tensors: AdapterTensors): LoraDelta[] {
  const scaleOf = loraScales(config);
  return loraTargets(config, sites).linear.map((site) => ({
    site,
    a_RI: tensorAt(tensors, site, A),
    b_OR: tensorAt(tensors, site, B),
    scale: scaleOf(site.path).scale,
  }));
}
