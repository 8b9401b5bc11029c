import { assert } from '../base/index.ts';
import type { ClassifierInput } from '../formats/index.ts';
import { siteIndex, type LinearSite, type SiteHooks } from '../model/index.ts';
import { addLowRankDelta, type BoundRows, type Graph, type RowProgram, type Tensor } from '../numeric/index.ts';
import { rotateBlocks, type BlockRotation } from './rows/block-rotation.ts';
import { addKroneckerDelta, type KroneckerDelta } from './rows/kronecker-delta.ts';
import { addScaledLowRankDelta, type ScaledLowRankDelta } from './rows/scaled-low-rank-delta.ts';

/**
 * What every PEFT method compiles to. Serving applies these to rows and never asks which method they came from, so adapters
 * of different methods share a batch. Order of application: scale-input or block-rotation, base layer, deltas, scale-output, bias.
 */
export type RowPrimitive =
  | { readonly kind: 'scale-input'; readonly factor_I: Tensor }
  | BlockRotation
  | { readonly kind: 'low-rank-delta'; readonly a_RI: Tensor; readonly b_OR: Tensor; readonly scale: number }
  | ScaledLowRankDelta
  | KroneckerDelta
  | { readonly kind: 'scale-output'; readonly factor_O: Tensor }
  | { readonly kind: 'bias'; readonly bias_O: Tensor };

/**
 * Tokens that stand before every prompt of an adapter and have no id. They count for the context and for the cache; the first real
 * token stands at position `count`.
 * - `embeddings` [N, D]: rows of input, computed like any other (prompt tuning, Lester et al., 2021; P-tuning).
 * - `key-values` [L, N, G·E]: what every layer's attention reads at positions 0..N, used as it is: the keys are not rotated (prefix tuning,
 *   Li and Liang, 2021, as PEFT's past_key_values).
 */
export type VirtualTokens =
  | { readonly kind: 'embeddings'; readonly count: number; readonly embeddings_ND: Tensor }
  | { readonly kind: 'key-values'; readonly count: number; readonly keys_LNK: Tensor; readonly values_LNK: Tensor };

/** Trained tokens: these ids have rows of their own in the embedding, [K, D], and in the head where that is the same matrix. */
export interface TokenRows {
  /** Rising. */
  readonly ids: Int32Array;
  readonly rows_KD: Tensor;
  readonly isHeadTied: boolean;
}

/** A whole embedding or head in place of the base's, or an update of it; `a_VR` has a row for each token. */
export type EmbeddingPart =
  | { readonly kind: 'table'; readonly table_VD: Tensor }
  | { readonly kind: 'low-rank'; readonly a_VR: Tensor; readonly b_DR: Tensor; readonly scale: number };
export type HeadPart =
  | { readonly kind: 'table'; readonly table_VD: Tensor }
  | { readonly kind: 'low-rank'; readonly a_RD: Tensor; readonly b_VR: Tensor; readonly scale: number }
  | ClassesHead;

/** A head that gives a logit for each label instead of one for each token: such an adapter classifies, and cannot generate. */
export interface ClassesHead {
  readonly kind: 'classes';
  readonly score_CD: Tensor;
  /** One for each row. */
  readonly labels: readonly string[];
  /** What they are the labels of, where it is known. */
  readonly reads?: ClassifierInput | undefined;
}

/** An adapter, ready to serve. */
export interface CompiledAdapter {
  /** By site path; a site that is missing here and in `program` is the base's. */
  readonly sites: ReadonlyMap<string, readonly RowPrimitive[]>;
  /** What {@link packAdapter} has moved out of `sites`: one kernel call applies it to the rows of all adapters at a site. */
  readonly program?: RowProgram | undefined;
  /** Bytes that it holds in memory. */
  readonly sizeBytes: number;
  readonly virtual?: VirtualTokens | undefined;
  readonly tokenRows?: TokenRows | undefined;
  /** Gains in place of the base's, by the paths of their norms. */
  readonly norms?: ReadonlyMap<string, Tensor> | undefined;
  readonly embedding?: EmbeddingPart | undefined;
  readonly head?: HeadPart | undefined;
}

/** Adapter zero. */
export const BASE_ADAPTER: CompiledAdapter = { sites: new Map(), sizeBytes: 0 };

/** Rows begin..end of a batch that use one adapter. */
export interface RowSpan {
  readonly begin: number;
  readonly end: number;
  readonly adapter: CompiledAdapter;
}

/**
 * Hooks for a batch whose rows belong to different adapters. Base rows cost nothing. Spans rise and share no row. Packed adapters of all
 * spans share one kernel call a site; the primitives of others are applied span by span, with the same bits.
 */
export function spanHooks(spans: readonly RowSpan[]): SiteHooks {
  const normed = spans.filter(({ adapter }) => adapter.norms !== undefined);
  const packed = spans.flatMap(({ begin, end, adapter: { program } }) => (program ? [{ begin, end, program }] : []));
  const plain = spans.filter(({ adapter }) => adapter.sites.size > 0);
  let bound: BoundRows | undefined;
  return {
    ...(normed.length > 0 && { norm: normHook(normed) }),
    linear(g: Graph, site: LinearSite, x: Tensor, base: (x: Tensor) => Tensor): Tensor {
      const used = plain.flatMap((span) => {
        const primitives = span.adapter.sites.get(site.path);
        return primitives ? [{ span, primitives }] : [];
      });
      const rows = packed.length > 0 ? (bound ??= g.kernels.bindRows(packed)) : undefined;
      const [slot, T] = [siteIndex(site), x.shape[0]];
      let input = x;
      if (rows?.isBefore(slot)) {
        input = g.empty(x.shape);
        g.kernels.scaleInputs(input.data, x.data, rows, slot, T);
      }
      if (used.some(({ primitives }) => primitives.some(changesInput))) input = changedInput(g, input, used);
      const y = base(input);
      if (rows?.isAfter(slot)) g.kernels.applyRows(y.data, input.data, rows, slot, T);
      for (const { span, primitives } of used) {
        for (const primitive of primitives) applyAfter(g, primitive, rowsOf(y, span), rowsOf(input, span));
      }
      return y;
    },
  };
}

/** Norms of rows whose adapters have gains of their own: computed once more for those rows alone. */
function normHook(spans: readonly RowSpan[]): NonNullable<SiteHooks['norm']> {
  return (g, site, x, base, packedRows) => {
    const y = base(x);
    const T = packedRows?.length ?? x.shape[0];
    const width = x.data.length / Math.max(1, T);
    for (const { begin, end, adapter } of spans) {
      const gain = adapter.norms?.get(site.path);
      if (!gain) continue;
      const own = packedRows
        ? [...packedRows.keys()].filter((n) => begin <= packedRows[n] && packedRows[n] < end)
        : Array.from({ length: end - begin }, (_, n) => begin + n);
      if (own.length === 0) continue;
      const rows = g.empty([own.length, width]);
      for (const [n, row] of own.entries()) rows.data.set(x.data.subarray(row * width, (row + 1) * width), n * width);
      const normed = base(rows, gain);
      for (const [n, row] of own.entries()) y.data.set(normed.data.subarray(n * width, (n + 1) * width), row * width);
    }
    return y;
  };
}

interface UsedSpan {
  readonly span: RowSpan;
  readonly primitives: readonly RowPrimitive[];
}

function changesInput({ kind }: RowPrimitive): boolean {
  return kind === 'scale-input' || kind === 'block-rotation';
}

function changedInput(g: Graph, x: Tensor, used: readonly UsedSpan[]): Tensor {
  const changed = g.empty(x.shape);
  changed.data.set(x.data);
  for (const { span, primitives } of used) {
    for (const primitive of primitives) {
      if (primitive.kind === 'scale-input') multiplyRows(rowsOf(changed, span), primitive.factor_I);
      else if (primitive.kind === 'block-rotation') rotateBlocks(g, rowsOf(changed, span), primitive);
    }
  }
  return changed;
}

function applyAfter(g: Graph, primitive: RowPrimitive, y: Tensor, x: Tensor): void {
  switch (primitive.kind) {
    case 'scale-input':
    case 'block-rotation':
      return;
    case 'low-rank-delta':
      addLowRankDelta(g, y, x, primitive.a_RI, primitive.b_OR, primitive.scale);
      return;
    case 'scaled-low-rank-delta':
      addScaledLowRankDelta(g, y, x, primitive);
      return;
    case 'kronecker-delta':
      addKroneckerDelta(g, y, x, primitive);
      return;
    case 'scale-output':
      multiplyRows(y, primitive.factor_O);
      return;
    case 'bias': {
      const width = y.shape[1];
      for (let i = 0; i < y.data.length; i++) {
        y.data[i] = y.data[i] + primitive.bias_O.data[i % width];
      }
      return;
    }
    default:
      primitive satisfies never;
  }
}

function multiplyRows(rows: Tensor, factor: Tensor): void {
  const width = rows.shape[1];
  assert(factor.data.length === width, 'a scale fits its site');
  for (let i = 0; i < rows.data.length; i++) {
    rows.data[i] = rows.data[i] * factor.data[i % width];
  }
}

/** A view of rows begin..end. */
function rowsOf(x: Tensor, span: RowSpan): Tensor {
  const width = x.shape[1];
  return { shape: [span.end - span.begin, width], data: x.data.subarray(span.begin * width, span.end * width) };
}
