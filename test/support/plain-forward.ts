import assert from 'node:assert/strict';
import type { CompiledAdapter } from '../../src/adapters/index.ts';
import type { BaseModel } from '../../src/model/index.ts';
import type { FrozenMatrix } from '../../src/numeric/index.ts';

type Vector = Float64Array;

/**
 * Logits after every token of one sequence, [T, V], in float64, one row after the other: no batch, no cache, no kernels of ours but the values
 * that the frozen matrices stand for. What virtual tokens, token rows and an adapter's own norms, embedding and head mean is written here
 * once more, as the papers have it.
 */
export function plainLogits(base: BaseModel, adapter: CompiledAdapter, tokenIds: readonly number[]): Vector[] {
  const { config } = base;
  const { numHeads: H, numKeyValueHeads: G, headWidth: E, hiddenSize: D, numLayers: L } = config;
  const { virtual, tokenRows } = adapter;
  const rowOf = new Map([...(tokenRows?.ids ?? [])].map((id, index) => [id, index]));
  const embedding = base.kernels.thaw(base.embedding);
  const row = (values: ArrayLike<number>, index: number, width: number): Vector =>
    Float64Array.from({ length: width }, (_, i) => values[index * width + i]);

  const embedded = (id: number): Vector => {
    const part = adapter.embedding;
    if (part?.kind === 'table') return row(part.table_VD.data, id, D);
    const x = row(embedding, id, D);
    if (!part) return x;
    const rank = part.a_VR.shape[1];
    return x.map((value, d) => value + part.scale * dot(part.b_DR.data, d * rank, part.a_VR.data, id * rank, rank));
  };
  const gainAt = (path: string, gain: { readonly data: ArrayLike<number> }): ArrayLike<number> =>
    adapter.norms?.get(path)?.data ?? gain.data;

  const inputs: Vector[] = [];
  if (virtual?.kind === 'embeddings') {
    for (let n = 0; n < virtual.count; n++) inputs.push(row(virtual.embeddings_ND.data, n, D));
  }
  for (const id of tokenIds) {
    const own = rowOf.get(id);
    inputs.push(tokenRows && own !== undefined ? row(tokenRows.rows_KD.data, own, D) : embedded(id));
  }
  const numBefore = virtual?.kind === 'key-values' ? virtual.count : 0;
  const cosSin = base.rope(numBefore + inputs.length);

  const rotate = (x: Vector, position: number): void => {
    for (let at = 0; at < x.length; at += E) {
      for (let i = 0; i < E / 2; i++) {
        const [cos, sin] = [cosSin[position * E + i], cosSin[position * E + E / 2 + i]];
        const [a, b] = [x[at + i], x[at + i + E / 2]];
        x[at + i] = a * cos - b * sin;
        x[at + i + E / 2] = b * cos + a * sin;
      }
    }
  };
  const norm = (x: Vector, gain: ArrayLike<number>): Vector => {
    const width = gain.length;
    return x.map((value, i) => {
      const head = x.subarray(i - (i % width), i - (i % width) + width);
      const mean = head.reduce((sum, v) => sum + v * v, 0) / width;
      return (value / Math.sqrt(mean + config.normEpsilon)) * gain[i % width];
    });
  };

  let hidden = inputs;
  for (let layer = 0; layer < L; layer++) {
    const weights = base.layers[layer];
    const project = (role: keyof typeof weights.linear, x: Vector): Vector => {
      const { weight, bias, site } = weights.linear[role];
      return applyLinear(base, weight, bias?.data, adapter, site.path, x);
    };
    const [keys, values]: [Vector[], Vector[]] = [[], []];
    for (let n = 0; n < numBefore && virtual?.kind === 'key-values'; n++) {
      keys.push(row(virtual.keys_LNK.data, layer * numBefore + n, G * E));
      values.push(row(virtual.values_LNK.data, layer * numBefore + n, G * E));
    }
    hidden = hidden.map((x, t) => {
      const normed = norm(x, gainAt(`model.layers.${layer}.input_layernorm`, weights.inputNorm));
      let [q, k] = [project('q_proj', normed), project('k_proj', normed)];
      const path = `model.layers.${layer}.self_attn`;
      if (weights.queryNorm) q = norm(q, gainAt(`${path}.q_norm`, weights.queryNorm));
      if (weights.keyNorm) k = norm(k, gainAt(`${path}.k_norm`, weights.keyNorm));
      rotate(q, numBefore + t);
      rotate(k, numBefore + t);
      keys.push(k);
      values.push(project('v_proj', normed));
      const attended = new Float64Array(H * E);
      for (let h = 0; h < H; h++) {
        const g = Math.floor((h * G) / H);
        const scores = keys.map((key) => dot(q, h * E, key, g * E, E) / Math.sqrt(E));
        const top = Math.max(...scores);
        const exps = scores.map((score) => Math.exp(score - top));
        const total = exps.reduce((sum, e) => sum + e, 0);
        for (const [s, e] of exps.entries()) {
          for (let i = 0; i < E; i++) attended[h * E + i] += (e / total) * values[s][g * E + i];
        }
      }
      return add(x, project('o_proj', attended));
    });
    hidden = hidden.map((x) => {
      const normed = norm(x, gainAt(`model.layers.${layer}.post_attention_layernorm`, weights.postAttentionNorm));
      const up = project('up_proj', normed);
      const gated = project('gate_proj', normed).map((v, i) => (v / (1 + Math.exp(-v))) * up[i]);
      return add(x, project('down_proj', gated));
    });
  }
  return hidden.slice(inputs.length - tokenIds.length).map((x) => {
    const last = norm(x, gainAt('model.norm', base.finalNorm));
    const logits = headLogits(base, adapter, last);
    for (const [id, own] of rowOf) {
      if (tokenRows?.isHeadTied) logits[id] = dot(last, 0, row(tokenRows.rows_KD.data, own, D), 0, D);
    }
    return logits;
  });
}

function headLogits(base: BaseModel, { head }: CompiledAdapter, x: Vector): Vector {
  if (head?.kind === 'table') {
    return Float64Array.from({ length: base.config.vocabSize }, (_, v) =>
      dot(head.table_VD.data, v * x.length, x, 0, x.length),
    );
  }
  const logits = multiply(base, base.head, x);
  if (!head) return logits;
  assert(head.kind !== 'classes', 'a classifier has no logits of tokens');
  const [rank, width] = head.a_RD.shape;
  const inner = Array.from({ length: rank }, (_, r) => dot(head.a_RD.data, r * width, x, 0, width));
  return logits.map((value, v) => value + head.scale * dot(head.b_VR.data, v * rank, inner, 0, rank));
}

function applyLinear(
  base: BaseModel,
  weight: FrozenMatrix,
  bias: ArrayLike<number> | undefined,
  adapter: CompiledAdapter,
  path: string,
  x: Vector,
): Vector {
  const primitives = adapter.sites.get(path) ?? [];
  let input = x;
  for (const p of primitives) if (p.kind === 'scale-input') input = input.map((v, i) => v * p.factor_I.data[i]);
  let y = multiply(base, weight, input);
  if (bias) y = y.map((v, o) => v + bias[o]);
  for (const p of primitives) {
    if (p.kind === 'low-rank-delta') {
      const [rank, inputs] = p.a_RI.shape;
      const inner = Array.from({ length: rank }, (_, r) => dot(p.a_RI.data, r * inputs, input, 0, inputs));
      y = y.map((v, o) => v + p.scale * dot(p.b_OR.data, o * rank, inner, 0, rank));
    } else if (p.kind === 'scale-output') {
      y = y.map((v, o) => v * p.factor_O.data[o]);
    } else if (p.kind === 'bias') {
      y = y.map((v, o) => v + p.bias_O.data[o]);
    } else if (p.kind !== 'scale-input') {
      throw new Error('a primitive that is not written here yet');
    }
  }
  return y;
}

function multiply(base: BaseModel, weight: FrozenMatrix, x: Vector): Vector {
  const dense = denseOf(base, weight);
  return Float64Array.from({ length: weight.out }, (_, o) => dot(dense, o * weight.in, x, 0, weight.in));
}

const thawed = new WeakMap<FrozenMatrix, ArrayLike<number>>();

function denseOf(base: BaseModel, weight: FrozenMatrix): ArrayLike<number> {
  let dense = thawed.get(weight);
  if (!dense) thawed.set(weight, (dense = base.kernels.thaw(weight)));
  return dense;
}

function dot(a: ArrayLike<number>, fromA: number, b: ArrayLike<number>, fromB: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[fromA + i] * b[fromB + i];
  return sum;
}

function add(a: Vector, b: Vector): Vector {
  return a.map((value, i) => value + b[i]);
}
