/** A plain forward pass of an adapter, for probes: what serving computes in a batch is held against it. */
import { spanHooks, type CompiledAdapter, type EmbeddingPart, type VirtualTokens } from '../../adapters/index.ts';
import { attendPacked, forward, headRows, type Attend, type BaseModel, type SiteHooks } from '../../model/index.ts';
import { BufferPool, Inference, type Tensor } from '../../numeric/index.ts';

/** Tokens of a probe's step: few, so that a prompt and virtual tokens are computed in pieces, as a batch does it. */
export const STEP_TOKENS = 7;

export interface RowProbe {
  /** ‖served − plain‖ / ‖plain‖ of the logits. */
  readonly error: number;
  readonly tolerance: number;
}

/**
 * The head's input at the last `count` of these tokens, [count, D], by a plain forward pass that knows no cache: virtual embeddings and trained
 * rows are written into its input, virtual keys and values stand before its attention's.
 */
export function plainRows(
  base: BaseModel,
  adapter: CompiledAdapter,
  tokenIds: readonly number[],
  count: number,
): Tensor {
  const { virtual, tokenRows, embedding } = adapter;
  const { config, kernels } = base;
  const g = new Inference(kernels, new BufferPool(kernels.name === 'reference' ? 'f64' : 'f32'));
  const [numRowsBefore, numKeysBefore] = virtual?.kind === 'embeddings' ? [virtual.count, 0] : [0, virtual?.count ?? 0];
  // What stands for a virtual token is written over.
  const ids = [...Array.from({ length: numRowsBefore }, () => 0), ...tokenIds];
  const input = {
    tokenIds_T: Int32Array.from(ids),
    positions_T: Int32Array.from(ids, (_, row) => numKeysBefore + row),
    attend:
      virtual?.kind === 'key-values' ? attendBehind(base, virtual) : attendPacked(config, new Int32Array(ids.length)),
    editInputs({ data }: Tensor): void {
      const width = config.hiddenSize;
      if (virtual?.kind === 'embeddings') data.set(virtual.embeddings_ND.data);
      for (const [n, id] of tokenIds.entries()) {
        const at = numRowsBefore + n;
        if (embedding) changeRow(data.subarray(at * width, (at + 1) * width), embedding, id);
        const row = tokenRows?.ids.indexOf(id) ?? -1;
        if (row >= 0) data.set(rowOf(tokenRows?.rows_KD, row), (numRowsBefore + n) * width);
      }
    },
  };
  const hooks: SiteHooks = {
    ...spanHooks([{ begin: 0, end: ids.length, adapter }]),
    norm: (_g, site, x, normalise) => normalise(x, adapter.norms?.get(site.path)),
  };
  const hidden = forward(g, base, input, hooks);
  const wanted = Int32Array.from({ length: count }, (_, n) => ids.length - count + n);
  return headRows(g, base, hidden, wanted, hooks);
}

/** Attention of packed rows behind given keys and values: rows that ask nothing stand in the given ones' places. */
function attendBehind({ config }: BaseModel, given: VirtualTokens & { readonly kind: 'key-values' }): Attend {
  const { count } = given;
  return (g, layer, q, k, v) => {
    const T = count + q.shape[0];
    const behind = (rows: Tensor, before: Tensor['data'] | undefined): Tensor => {
      const width = rows.shape[1];
      const whole = g.empty([T, width]);
      whole.data.fill(0, 0, count * width);
      if (before) whole.data.set(before);
      whole.data.set(rows.data, count * width);
      return whole;
    };
    const ofLayer = ({ data, shape }: Tensor): Tensor['data'] => {
      const size = count * shape[2];
      return data.subarray(layer * size, (layer + 1) * size);
    };
    const attend = attendPacked(config, new Int32Array(T));
    const all = attend(
      g,
      layer,
      behind(q, undefined),
      behind(k, ofLayer(given.keys_LNK)),
      behind(v, ofLayer(given.values_LNK)),
    );
    const out = g.empty(q.shape);
    out.data.set(all.data.subarray(count * q.shape[1]));
    return out;
  };
}

function changeRow(row: Tensor['data'], part: EmbeddingPart, id: number): void {
  if (part.kind === 'table') row.set(rowOf(part.table_VD, id));
  else {
    const a = rowOf(part.a_VR, id);
    for (let d = 0; d < row.length; d++) row[d] += part.scale * dot(rowOf(part.b_DR, d), a);
  }
}

export function rowOf(rows: Tensor | undefined, row: number): Tensor['data'] {
  const width = rows?.shape[1] ?? 0;
  return rows?.data.subarray(row * width, (row + 1) * width) ?? new Float32Array();
}

export function dot(a: Tensor['data'], b: Tensor['data']): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
