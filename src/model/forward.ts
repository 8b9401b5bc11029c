import {
  addInPlace,
  frozenLinear,
  gatherRows,
  packedAttention,
  rmsNorm,
  rotate,
  swiglu,
  type Floats,
  type Graph,
  type Tensor,
} from '../numeric/index.ts';
import type { BaseModel, FrozenLinear, LayerWeights } from './base-model.ts';
import type { ModelConfig } from './config.ts';
import type { SiteHooks } from './sites.ts';

/** How a layer's queries meet keys: packed segments when training, a cache when serving. q [T, H·E], k and v [T, G·E] -> [T, H·E]. */
export type Attend = (g: Graph, layer: number, q: Tensor, k: Tensor, v: Tensor) => Tensor;

/** T packed tokens. `positions` restart at each sequence. */
export interface ForwardInput {
  readonly tokenIds_T: Int32Array;
  readonly positions_T: Int32Array;
  readonly attend: Attend;
  /** Changes rows of the embeddings, [T, D], in place: for input that has no token id. Inference only. */
  readonly editInputs?: (inputs: Tensor) => void;
}

/**
 * A pre-norm decoder (Llama and its relatives), T packed rows at a time.
 * @returns the residual stream after the last layer, [T, D]; {@link headRows} prepares rows of it for the head
 */
export function forward(g: Graph, base: BaseModel, input: ForwardInput, hooks: SiteHooks): Tensor {
  const T = input.tokenIds_T.length;
  let numPositions = 1;
  for (const position of input.positions_T) numPositions = Math.max(numPositions, position + 1);
  const cosSin = base.rope(numPositions);
  let hidden = g.empty([T, base.config.hiddenSize]);
  g.kernels.embeddingForward(hidden.data, base.embedding, input.tokenIds_T, T);
  input.editInputs?.(hidden);
  const rows: LayerRows = { ...input, cosSin };
  for (const layer of base.layers.keys())
    hidden = g.segment(hidden, (x) => decoderLayer(g, base, layer, x, rows, hooks));
  return hidden;
}

interface LayerRows extends ForwardInput {
  readonly cosSin: Floats;
}

/** One layer: attention and feed-forward, each added to the residual stream x [T, D], which is released. */
function decoderLayer(g: Graph, base: BaseModel, layer: number, x: Tensor, rows: LayerRows, hooks: SiteHooks): Tensor {
  const { config } = base;
  const weights = base.layers[layer];
  const afterAttention = g.scope(() => {
    const normed = rmsNorm(g, x, weights.inputNorm, config.normEpsilon);
    const { q, k, v } = queryKeyValue(g, config, weights, normed, hooks);
    rotate(g, q, rows.positions_T, rows.cosSin, config.headWidth);
    rotate(g, k, rows.positions_T, rows.cosSin, config.headWidth);
    const attended = rows.attend(g, layer, q, k, v);
    const out = linearAt(g, weights.linear.o_proj, attended, hooks);
    addInPlace(g, out, x);
    return out;
  });
  g.release(x);
  const afterFeedForward = g.scope(() => {
    const normed = rmsNorm(g, afterAttention, weights.postAttentionNorm, config.normEpsilon);
    const gate = linearAt(g, weights.linear.gate_proj, normed, hooks);
    const up = linearAt(g, weights.linear.up_proj, normed, hooks);
    const out = linearAt(g, weights.linear.down_proj, swiglu(g, gate, up), hooks);
    addInPlace(g, out, afterAttention);
    return out;
  });
  g.release(afterAttention);
  return afterFeedForward;
}

/** The given rows of the residual stream, normalised: the input of the head (`base.head`), [N, D]. */
export function headRows(g: Graph, base: BaseModel, hidden: Tensor, rows: Int32Array): Tensor {
  return rmsNorm(g, gatherRows(g, hidden, rows), base.finalNorm, base.config.normEpsilon);
}

/** Attention over segments of packed rows, without a cache: for training, evaluation and parity checks. */
export function attendPacked(config: ModelConfig, segmentStarts_T: Int32Array): Attend {
  const T = segmentStarts_T.length;
  const { numHeads: H, numKeyValueHeads: G, headWidth: E } = config;
  const shape = { T, H, G, E, scale: 1 / Math.sqrt(E) };
  return (g, _layer, q, k, v) => packedAttention(g, q, k, v, segmentStarts_T, shape);
}

function queryKeyValue(
  g: Graph,
  config: ModelConfig,
  weights: LayerWeights,
  x: Tensor,
  hooks: SiteHooks,
): { q: Tensor; k: Tensor; v: Tensor } {
  let q = linearAt(g, weights.linear.q_proj, x, hooks);
  let k = linearAt(g, weights.linear.k_proj, x, hooks);
  const v = linearAt(g, weights.linear.v_proj, x, hooks);
  if (weights.queryNorm) q = rmsNorm(g, q, weights.queryNorm, config.normEpsilon);
  if (weights.keyNorm) k = rmsNorm(g, k, weights.keyNorm, config.normEpsilon);
  return { q, k, v };
}

function linearAt(g: Graph, linear: FrozenLinear, x: Tensor, hooks: SiteHooks): Tensor {
  return hooks.linear(g, linear.site, x, (input) => frozenLinear(g, input, linear.weight, linear.bias));
}
