import { fail } from '../base/index.ts';
import type { ComputeDtype, Floats, FrozenMatrix, Kernels, Tensor, WeightFormat } from '../numeric/index.ts';
import type { ModelConfig } from './config.ts';
import { ropeTable } from './rope-table.ts';
import { linearSites, type LinearRole, type LinearSite, type NormSite } from './sites.ts';

export interface FrozenLinear {
  readonly site: LinearSite;
  readonly weight: FrozenMatrix;
  readonly bias: Tensor | undefined;
}

export interface LayerWeights {
  readonly inputNorm: Tensor;
  readonly postAttentionNorm: Tensor;
  readonly queryNorm: Tensor | undefined;
  readonly keyNorm: Tensor | undefined;
  readonly linear: Readonly<Record<LinearRole, FrozenLinear>>;
}

/** A frozen base, ready to run: one copy in memory serves training and every adapter. */
export interface BaseModel {
  readonly name: string;
  /** Identifies the weights, whatever they are packed as. */
  readonly digest: string;
  readonly config: ModelConfig;
  readonly format: WeightFormat;
  readonly computeDtype: ComputeDtype;
  readonly kernels: Kernels;
  readonly sites: readonly LinearSite[];
  readonly embedding: FrozenMatrix;
  readonly layers: readonly LayerWeights[];
  readonly finalNorm: Tensor;
  readonly head: FrozenMatrix;
  /** The rotation table for at least `numPositions` positions. */
  rope(numPositions: number): Floats;
}

/** Where a base's tensors come from when it is assembled: a packed file, or dense arrays in tests. */
export interface WeightReader {
  matrix(name: string): FrozenMatrix;
  vector(name: string): Floats;
}

export interface BaseIdentity {
  readonly name: string;
  readonly digest: string;
  readonly format: WeightFormat;
  readonly computeDtype: ComputeDtype;
}

export function assembleBase(
  config: ModelConfig,
  kernels: Kernels,
  reader: WeightReader,
  identity: BaseIdentity,
): BaseModel {
  const vector = (name: string): Tensor => {
    const data = reader.vector(name);
    return { shape: [data.length], data };
  };
  const sites = linearSites(config);
  const layers: LayerWeights[] = [];
  for (let layer = 0; layer < config.numLayers; layer++) {
    const prefix = `model.layers.${layer}`;
    const linear: Partial<Record<LinearRole, FrozenLinear>> = {};
    for (const site of sites) {
      if (site.layer !== layer) continue;
      const bias = site.hasBias ? vector(`${site.path}.bias`) : undefined;
      linear[site.role] = { site, weight: reader.matrix(`${site.path}.weight`), bias };
    }
    layers.push({
      inputNorm: vector(`${prefix}.input_layernorm.weight`),
      postAttentionNorm: vector(`${prefix}.post_attention_layernorm.weight`),
      queryNorm: config.queryKeyNorm ? vector(`${prefix}.self_attn.q_norm.weight`) : undefined,
      keyNorm: config.queryKeyNorm ? vector(`${prefix}.self_attn.k_norm.weight`) : undefined,
      linear: linear as Record<LinearRole, FrozenLinear>,
    });
  }
  const embedding = reader.matrix('model.embed_tokens.weight');
  let table: Floats = new Float32Array(0);
  return {
    ...identity,
    config,
    kernels,
    sites,
    embedding,
    layers,
    finalNorm: vector('model.norm.weight'),
    head: config.tieEmbeddings ? embedding : reader.matrix('lm_head.weight'),
    rope(numPositions) {
      if (numPositions > config.contextLength) {
        fail('CONTEXT_TOO_LONG', `${numPositions} positions are asked of a model with ${config.contextLength}`);
      }
      if (table.length < numPositions * config.headWidth) {
        const length = Math.min(config.contextLength, 2 ** Math.ceil(Math.log2(Math.max(256, numPositions))));
        const exact = ropeTable(config, length);
        table = kernels.name === 'reference' ? exact : Float32Array.from(exact);
      }
      return table;
    },
  };
}

/** The base's gain of a norm. */
export function normGain({ layers, finalNorm }: BaseModel, { path, role }: NormSite): Tensor {
  const layer = /^model\.layers\.(\d+)\./.exec(path)?.[1];
  const weights = layer === undefined ? undefined : layers[Number(layer)];
  const gains: Readonly<Record<NormSite['role'], Tensor | undefined>> = {
    input_layernorm: weights?.inputNorm,
    post_attention_layernorm: weights?.postAttentionNorm,
    q_norm: weights?.queryNorm,
    k_norm: weights?.keyNorm,
    norm: finalNorm,
  };
  return gains[role] ?? fail('INTERNAL', `the base has no norm ${path}`);
}
