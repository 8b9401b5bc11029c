import { baseHooks, type BaseModel, type SiteHooks } from '../model/index.ts';
import {
  addLowRankDelta,
  addRows,
  denseLinear,
  frozenLinear,
  gatherRows,
  replaceColumns,
  replaceRows,
  type Graph,
  type Tensor,
} from '../numeric/index.ts';
import { gainHooks, tokenEmbedHook } from './methods/base-parts.ts';
import { virtualRows } from './methods/virtual-rows.ts';
import { spanHooks, type CompiledAdapter, type EmbeddingPart, type VirtualTokens } from './primitives.ts';

/**
 * An adapter in a pass whose rows are all its own: layers, norms, virtual tokens (whoever lays out the batch leaves rows for them, see
 * `SiteHooks.numVirtual`), embeddings and head. What an engine does for the rows of a batch, for one that has no engine.
 */
export function passHooks(adapter: CompiledAdapter, base: BaseModel): SiteHooks {
  const { virtual, norms } = adapter;
  const head = headHook(adapter, base);
  const embeds = embedHooks(adapter);
  return {
    ...gainHooks(norms ?? new Map()),
    linear: layerHook(adapter),
    ...(virtual && { numVirtual: virtual.count }),
    ...(embeds.length > 0 && {
      embed(g, rows, x) {
        for (const embed of embeds) embed(g, rows, x);
      },
    }),
    ...(virtual?.kind === 'key-values' && { keyValues: keyValuesHook(virtual) }),
    ...(head && { head: { logits: head } }),
  };
}

/** The layers of all rows. Bound rows last as long as batches have one number of rows. */
function layerHook(adapter: CompiledAdapter): SiteHooks['linear'] {
  let [numRows, hooks] = [-1, baseHooks];
  return (g, site, x, base) => {
    if (x.shape[0] !== numRows) {
      numRows = x.shape[0];
      hooks = spanHooks([{ begin: 0, end: numRows, adapter }]);
    }
    return hooks.linear(g, site, x, base);
  };
}

/** In the order in which they change the embeddings: what stands for a virtual token is nobody's id, and is written over. */
function embedHooks({ embedding, tokenRows, virtual }: CompiledAdapter): NonNullable<SiteHooks['embed']>[] {
  const hooks: NonNullable<SiteHooks['embed']>[] = [];
  if (embedding) hooks.push((g, { tokenIds_T }, x) => changeEmbeddings(g, embedding, tokenIds_T, x));
  if (tokenRows) hooks.push(tokenEmbedHook([...tokenRows.ids], tokenRows.rows_KD));
  if (virtual?.kind === 'embeddings') {
    hooks.push((g, rows, x) => replaceRows(g, x, virtual.embeddings_ND, virtualRows(rows, virtual.count)));
  }
  return hooks;
}

function changeEmbeddings(g: Graph, part: EmbeddingPart, tokenIds_T: Int32Array, x: Tensor): void {
  const all = Int32Array.from(tokenIds_T, (_, row) => row);
  if (part.kind === 'table') replaceRows(g, x, part.table_VD, { to: all, from: tokenIds_T });
  else {
    const update = denseLinear(g, gatherRows(g, part.a_VR, tokenIds_T), part.b_DR);
    addRows(g, x, update, { to: all, from: all }, part.scale);
  }
}

function keyValuesHook({
  count,
  keys_LNK,
  values_LNK,
}: VirtualTokens & { readonly kind: 'key-values' }): NonNullable<SiteHooks['keyValues']> {
  return (g, layer, rows, k, v) => {
    const copies = virtualRows(rows, count);
    for (const [x, { data, shape }] of [
      [k, keys_LNK],
      [v, values_LNK],
    ] as const) {
      const size = count * shape[2];
      const ofLayer = { shape: [count, shape[2]], data: data.subarray(layer * size, (layer + 1) * size) };
      replaceRows(g, x, ofLayer, copies);
    }
  };
}

/** Logits of a changed head, or of trained tokens where the head is the embedding; undefined for the base's own. */
function headHook(
  { head, tokenRows }: CompiledAdapter,
  base: BaseModel,
): ((g: Graph, x: Tensor) => Tensor) | undefined {
  const tied = tokenRows?.isHeadTied ? tokenRows : undefined;
  if (!head && !tied) return undefined;
  return (g, x) => {
    if (head?.kind === 'classes') return denseLinear(g, x, head.score_CD);
    const y = head?.kind === 'table' ? denseLinear(g, x, head.table_VD) : frozenLinear(g, x, base.head);
    if (head?.kind === 'low-rank') addLowRankDelta(g, y, x, head.a_RD, head.b_VR, head.scale);
    if (tied) replaceColumns(g, y, denseLinear(g, x, tied.rows_KD), Int32Array.from(tied.ids));
    return y;
  };
}
