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
  type Head,
  type Tensor,
} from '../numeric/index.ts';
import type { BaseModel, FrozenLinear, LayerWeights } from './base-model.ts';
import type { ModelConfig } from './config.ts';
import { baseHooks, normSite, type InputRows, type SiteHooks } from './sites.ts';

/** How a layer's queries meet keys: packed segments when training, a cache when serving. q [T, H·E], k and v [T, G·E] -> [T, H·E]. */
export type Attend = (g: Graph, layer: number, q: Tensor, k: Tensor, v: Tensor) => Tensor;

/** T packed tokens. `positions` restart at each sequence. */
export interface ForwardInput extends InputRows {
  readonly attend: Attend;
  /** Changes rows of the embeddings, [T, D], in place: for input that has no token id. Inference only. */
  readonly editInputs?: (inputs: Tensor) => void;
  /** The rows that are wanted after the last layer, all unless given. */
  readonly wanted?: WantedRows;
}

/**
 * N rows of the packed ones, in their order. Of the others the last layer makes keys and values alone: nothing reads what else it would make of
 * them. `hooks` and `attend` take these rows as their packed ones, but k and v are those of all.
 */
export interface WantedRows {
  readonly rows_N: Int32Array;
  readonly positions_N: Int32Array;
  readonly hooks: SiteHooks;
  readonly attend: Attend;
}

/**
 * A pre-norm decoder (Llama and its relatives), T packed rows at a time.
 * @returns the residual stream after the last layer, [T, D], or [N, D] of the wanted rows; {@link headRows} prepares rows of it for the head
 */
export function forward(g: Graph, base: BaseModel, input: ForwardInput, hooks: SiteHooks): Tensor {
  const T = input.tokenIds_T.length;
  let numPositions = 1;
  for (const position of input.positions_T) numPositions = Math.max(numPositions, position + 1);
  const cosSin = base.rope(numPositions);
  let hidden = g.empty([T, base.config.hiddenSize]);
  g.kernels.embeddingForward(hidden.data, base.embedding, input.tokenIds_T, T);
  input.editInputs?.(hidden);
  hooks.embed?.(g, input, hidden);
  const rows: LayerRows = { ...input, cosSin };
  for (const layer of base.layers.keys()) {
    const wanted = layer === base.layers.length - 1 ? input.wanted : undefined;
    hidden = g.segment(hidden, (x) => decoderLayer(g, base, layer, x, rows, hooks, wanted));
  }
  return hidden;
}

interface LayerRows extends ForwardInput {
  readonly cosSin: Floats;
}

/** One layer: attention and feed-forward, each added to the residual stream x [T, D] (to its wanted rows alone, if they are given), which is released. */
function decoderLayer(
  g: Graph,
  base: BaseModel,
  layer: number,
  x: Tensor,
  rows: LayerRows,
  hooks: SiteHooks,
  wanted?: WantedRows,
): Tensor {
  const { config } = base;
  const weights = base.layers[layer];
  const own = wanted?.hooks ?? hooks;
  const choose = (all: Tensor): Tensor => (wanted ? gatherRows(g, all, wanted.rows_N) : all);
  const afterAttention = g.scope(() => {
    const normed = normAt(g, config, `model.layers.${layer}.input_layernorm`, weights.inputNorm, x, hooks);
    const q = queriesOf(g, config, layer, weights, choose(normed), own);
    const { k, v } = keysAndValuesOf(g, config, layer, weights, normed, hooks);
    rotate(g, q, wanted?.positions_N ?? rows.positions_T, rows.cosSin, config.headWidth);
    rotate(g, k, rows.positions_T, rows.cosSin, config.headWidth);
    hooks.keyValues?.(g, layer, rows, k, v);
    const attended = (wanted?.attend ?? rows.attend)(g, layer, q, k, v);
    const out = linearAt(g, weights.linear.o_proj, attended, own);
    addInPlace(g, out, choose(x));
    return out;
  });
  g.release(x);
  const afterFeedForward = g.scope(() => {
    const path = `model.layers.${layer}.post_attention_layernorm`;
    const normed = normAt(g, config, path, weights.postAttentionNorm, afterAttention, own);
    const gate = linearAt(g, weights.linear.gate_proj, normed, own);
    const up = linearAt(g, weights.linear.up_proj, normed, own);
    const out = linearAt(g, weights.linear.down_proj, swiglu(g, gate, up), own);
    addInPlace(g, out, afterAttention);
    return out;
  });
  g.release(afterAttention);
  return afterFeedForward;
}

/** The given rows of the residual stream, normalised: the input of the head ({@link headOf}), [N, D]. */
export function headRows(
  g: Graph,
  base: BaseModel,
  hidden: Tensor,
  rows: Int32Array,
  hooks: SiteHooks = baseHooks,
): Tensor {
  return normAt(g, base.config, 'model.norm', base.finalNorm, gatherRows(g, hidden, rows), hooks, rows);
}

/** What gives logits: the base's head, or what hooks have in its place. */
export function headOf(base: BaseModel, hooks: SiteHooks): Head {
  return hooks.head ?? base.head;
}

/** The logits of rows that {@link headRows} has prepared, [N, V]. */
export function logitsAt(g: Graph, base: BaseModel, rows: Tensor, hooks: SiteHooks): Tensor {
  return hooks.head ? hooks.head.logits(g, rows) : frozenLinear(g, rows, base.head);
}

/**
 * Attention over segments of packed rows, without a cache: for training, evaluation and parity checks.
 * @param rows_X the row of each place, where segments begin with rows of earlier ones
 */
export function attendPacked(config: ModelConfig, segmentStarts_X: Int32Array, rows_X?: Int32Array): Attend {
  const { numHeads: H, numKeyValueHeads: G, headWidth: E } = config;
  return (g, _layer, q, k, v) => {
    const shape = { T: q.shape[0], H, G, E, scale: 1 / Math.sqrt(E) };
    return packedAttention(g, q, k, v, segmentStarts_X, shape, rows_X);
  };
}

function queriesOf(
  g: Graph,
  config: ModelConfig,
  layer: number,
  { linear, queryNorm }: LayerWeights,
  x: Tensor,
  hooks: SiteHooks,
): Tensor {
  const q = linearAt(g, linear.q_proj, x, hooks);
  return queryNorm ? normAt(g, config, `model.layers.${layer}.self_attn.q_norm`, queryNorm, q, hooks) : q;
}

function keysAndValuesOf(
  g: Graph,
  config: ModelConfig,
  layer: number,
  { linear, keyNorm }: LayerWeights,
  x: Tensor,
  hooks: SiteHooks,
): { k: Tensor; v: Tensor } {
  const k = linearAt(g, linear.k_proj, x, hooks);
  const v = linearAt(g, linear.v_proj, x, hooks);
  return { k: keyNorm ? normAt(g, config, `model.layers.${layer}.self_attn.k_norm`, keyNorm, k, hooks) : k, v };
}

function linearAt(g: Graph, linear: FrozenLinear, x: Tensor, hooks: SiteHooks): Tensor {
  return hooks.linear(g, linear.site, x, (input) => frozenLinear(g, input, linear.weight, linear.bias));
}

function normAt(
  g: Graph,
  config: ModelConfig,
  path: string,
  gain: Tensor,
  x: Tensor,
  hooks: SiteHooks,
  packedRows?: Int32Array,
): Tensor {
  const base = (input: Tensor, own = gain): Tensor => rmsNorm(g, input, own, config.normEpsilon);
  return hooks.norm ? hooks.norm(g, normSite(path, gain.data.length), x, base, packedRows) : base(x);
}
