import type { CompiledAdapter, EmbeddingPart, TokenRows } from '../adapters/index.ts';
import { assert, fail } from '../base/index.ts';
import { normSites, type BaseModel, type ModelConfig } from '../model/index.ts';
import type { Floats, Inference, Tensor } from '../numeric/index.ts';
import type { KvBlocks } from './cache/kv-blocks.ts';
import type { ClassLogits } from './request.ts';
import type { Sequence } from './sequence.ts';

/**
 * What an adapter puts in the place of the base's rows, outside of the sites: virtual tokens, and trained tokens' rows. A sequence
 * whose adapter has neither costs nothing here.
 */

/** @throws ADAPTER_INVALID names what does not fit the base */
export function checkAdapterRows(adapter: CompiledAdapter, config: ModelConfig): void {
  const { virtual, tokenRows, norms, embedding, head } = adapter;
  const { numLayers: L, numKeyValueHeads: G, headWidth: E, hiddenSize: D, vocabSize: V } = config;
  const check = (what: string, tensor: Tensor, expected: readonly number[]): void => {
    if (tensor.shape.length === expected.length && tensor.shape.every((size, i) => size === expected[i])) return;
    fail(
      'ADAPTER_INVALID',
      `the adapter's ${what} has the shape [${tensor.shape.join(', ')}], this base needs [${expected.join(', ')}]`,
    );
  };
  if (virtual && !(Number.isSafeInteger(virtual.count) && virtual.count > 0)) {
    fail('ADAPTER_INVALID', `the adapter has ${virtual.count} virtual tokens, expected at least 1`);
  }
  if (virtual?.kind === 'embeddings') check('virtual embeddings', virtual.embeddings_ND, [virtual.count, D]);
  if (virtual?.kind === 'key-values') {
    check('virtual keys', virtual.keys_LNK, [L, virtual.count, G * E]);
    check('virtual values', virtual.values_LNK, [L, virtual.count, G * E]);
  }
  for (const { path, width } of norms ? normSites(config) : []) {
    const gain = norms?.get(path);
    if (gain) check(`gain of ${path}`, gain, [width]);
  }
  if (embedding?.kind === 'table') check('embedding', embedding.table_VD, [V, D]);
  if (embedding?.kind === 'low-rank') {
    check("embedding's A", embedding.a_VR, [V, embedding.a_VR.shape[1]]);
    check("embedding's B", embedding.b_DR, [D, embedding.a_VR.shape[1]]);
  }
  if (head?.kind === 'table') check('head', head.table_VD, [V, D]);
  if (head?.kind === 'low-rank') {
    check("head's A", head.a_RD, [head.a_RD.shape[0], D]);
    check("head's B", head.b_VR, [V, head.a_RD.shape[0]]);
  }
  if (head?.kind === 'classes') check("labels' head", head.score_CD, [head.labels.length, D]);
  if (!tokenRows) return;
  check('token rows', tokenRows.rows_KD, [tokenRows.ids.length, D]);
  const foreign = tokenRows.ids.find((id) => id < 0 || id >= V);
  if (foreign !== undefined) {
    fail('ADAPTER_INVALID', `the adapter has a row for token ${foreign}, the base's tokens are 0 to ${V - 1}`);
  }
}

/** Rows of a step from `begin` on, which are the sequence's positions from `position` on. */
export interface SequenceRows {
  readonly sequence: Sequence;
  readonly begin: number;
  readonly position: number;
  /** One for each row; that of a virtual token says nothing. */
  readonly tokenIds: Int32Array;
}

/** Writes the rows of virtual embeddings and of trained tokens over the base's embeddings, [T, D]. */
export function replaceInputRows(hidden: Tensor, rows: readonly SequenceRows[]): void {
  const width = hidden.shape[1];
  const copy = (row: number, from: Tensor, index: number): void =>
    hidden.data.set(from.data.subarray(index * width, (index + 1) * width), row * width);
  for (const { sequence, begin, position, tokenIds } of rows) {
    const { virtual, tokenRows, embedding } = sequence.adapter;
    const end = begin + tokenIds.length;
    if (virtual?.kind === 'embeddings') {
      for (let row = begin; row < end && position + row - begin < virtual.count; row++) {
        copy(row, virtual.embeddings_ND, position + row - begin);
      }
    }
    if (embedding) {
      for (let row = begin + Math.max(0, sequence.numVirtual - position); row < end; row++) {
        const id = tokenIds[row - begin];
        if (embedding.kind === 'table') copy(row, embedding.table_VD, id);
        else addUpdate(hidden.data.subarray(row * width, (row + 1) * width), embedding, id);
      }
    }
    if (tokenRows) {
      const indexOf = rowIndex(tokenRows);
      for (let row = begin + Math.max(0, sequence.numVirtual - position); row < end; row++) {
        const index = indexOf.get(tokenIds[row - begin]);
        if (index !== undefined) copy(row, tokenRows.rows_KD, index);
      }
    }
  }
}

/** Writes the adapter's keys and values of positions begin..end into the sequence's blocks. */
export function writeGivenKeys(
  { kernels, config }: BaseModel,
  blocks: KvBlocks,
  sequence: Sequence,
  begin: number,
  end: number,
): void {
  const { virtual } = sequence.adapter;
  assert(virtual?.kind === 'key-values', 'the adapter brings keys and values');
  const [numLayers, count, width] = virtual.keys_LNK.shape;
  const T = end - begin;
  const shape = { T, H: config.numHeads, G: config.numKeyValueHeads, E: config.headWidth, scale: 1 };
  const rows = {
    rowSequences: new Int32Array(T),
    contextLengths: Int32Array.from({ length: T }, (_, row) => begin + row + 1),
    blockTables: Int32Array.from(sequence.blocks),
    maxBlocks: sequence.blocks.length,
    blockSize: blocks.blockSize,
  };
  for (let layer = 0; layer < numLayers; layer++) {
    const [from, to] = [(layer * count + begin) * width, (layer * count + end) * width];
    const [k, v] = [virtual.keys_LNK.data.subarray(from, to), virtual.values_LNK.data.subarray(from, to)];
    kernels.cacheKeyValues(blocks.keys[layer], blocks.values[layer], k, v, rows, shape);
  }
}

type EmbeddingUpdate = EmbeddingPart & { readonly kind: 'low-rank' };

/** row_D += scale · B · A[:, id], summed over the rank in rising order. */
function addUpdate(row_D: Floats, { a_VR, b_DR, scale }: EmbeddingUpdate, id: number): void {
  const R = a_VR.shape[1];
  for (let d = 0; d < row_D.length; d++) {
    let sum = 0;
    for (let r = 0; r < R; r++) sum += a_VR.data[id * R + r] * b_DR.data[d * R + r];
    row_D[d] = row_D[d] + scale * sum;
  }
}

/** The logits of an adapter that has a part in the head, or trained tokens where the head is the embedding. @param last [D], the head's input */
export function replaceTokenLogits(g: Inference, logits_V: Floats, last_D: Floats, sequence: Sequence): void {
  const { tokenRows, head } = sequence.adapter;
  const [D, V] = [last_D.length, logits_V.length];
  if (head?.kind === 'table') {
    g.kernels.gemm(logits_V, last_D, head.table_VD.data, { M: 1, N: V, K: D, transposeB: true });
  } else if (head?.kind === 'low-rank') {
    const { a_RD, b_VR, scale } = head;
    const R = a_RD.shape[0];
    const u = g.empty([1, R]);
    g.kernels.gemm(u.data, last_D, a_RD.data, { M: 1, N: R, K: D, transposeB: true });
    const shape = { M: 1, N: V, K: R, transposeB: true, alpha: scale, accumulate: true };
    g.kernels.gemm(logits_V, u.data, b_VR.data, shape);
  }
  if (!tokenRows?.isHeadTied) return;
  const { ids, rows_KD } = tokenRows;
  const own = g.empty([1, ids.length]);
  const shape = { M: 1, N: ids.length, K: last_D.length, transposeB: true };
  g.kernels.gemm(own.data, last_D, rows_KD.data, shape);
  for (const [index, id] of ids.entries()) logits_V[id] = own.data[index];
}

/** What a classifier's head says, alone for this row: a kernel's sum knows no other. @param last_D the head's input */
export function classLogits(g: Inference, last_D: Floats, { adapter: { head } }: Sequence): ClassLogits {
  assert(head?.kind === 'classes', 'only a classifier is asked for labels');
  const { score_CD, labels } = head;
  const logits_C = g.empty([1, labels.length]);
  const shape = { M: 1, N: labels.length, K: last_D.length, transposeB: true };
  g.kernels.gemm(logits_C.data, last_D, score_CD.data, shape);
  return { labels, logits_C: Float32Array.from(logits_C.data) };
}

const rowIndices = new WeakMap<TokenRows, ReadonlyMap<number, number>>();

function rowIndex(tokenRows: TokenRows): ReadonlyMap<number, number> {
  let index = rowIndices.get(tokenRows);
  if (!index) {
    index = new Map([...tokenRows.ids].map((id, row) => [id, row]));
    rowIndices.set(tokenRows, index);
  }
  return index;
}
