import { assert } from '../base/index.ts';

/** An example as token ids, with the weight of predicting each of them (0 for what is given, such as the prompt). */
export interface TokenExample {
  readonly tokenIds: Int32Array;
  readonly lossWeights: Float32Array;
}

/**
 * Whole examples laid end to end, without padding. Rows attend only inside their own segment, so packing changes no value.
 * T rows, N of them with a target.
 */
export interface PackedBatch {
  readonly tokenIds_T: Int32Array;
  readonly positions_T: Int32Array;
  /** The first row of each row's segment. */
  readonly segmentStarts_T: Int32Array;
  /** Rows whose next token has a weight. */
  readonly lossRows_N: Int32Array;
  readonly targets_N: Int32Array;
  readonly weights_N: Float32Array;
  readonly weightSum: number;
  readonly numExamples: number;
}

export function packExamples(examples: readonly TokenExample[]): PackedBatch {
  const T = examples.reduce((sum, example) => sum + example.tokenIds.length, 0);
  const tokenIds_T = new Int32Array(T);
  const positions_T = new Int32Array(T);
  const segmentStarts_T = new Int32Array(T);
  const lossRows: number[] = [];
  const targets: number[] = [];
  const weights: number[] = [];
  let start = 0;
  for (const { tokenIds, lossWeights } of examples) {
    assert(tokenIds.length === lossWeights.length, 'every token has a loss weight');
    tokenIds_T.set(tokenIds, start);
    segmentStarts_T.fill(start, start, start + tokenIds.length);
    for (let i = 0; i < tokenIds.length; i++) {
      positions_T[start + i] = i;
      const weight = lossWeights[i + 1] ?? 0;
      if (weight === 0) continue;
      lossRows.push(start + i);
      targets.push(tokenIds[i + 1]);
      weights.push(weight);
    }
    start += tokenIds.length;
  }
  return {
    tokenIds_T,
    positions_T,
    segmentStarts_T,
    lossRows_N: Int32Array.from(lossRows),
    targets_N: Int32Array.from(targets),
    weights_N: Float32Array.from(weights),
    weightSum: weights.reduce((sum, weight) => sum + weight, 0),
    numExamples: examples.length,
  };
}

/** Batches one after another as one, rows and targets in their order. */
export function joinBatches(batches: readonly PackedBatch[]): PackedBatch {
  const firstRows: number[] = [];
  let numRows = 0;
  for (const { tokenIds_T } of batches) {
    firstRows.push(numRows);
    numRows += tokenIds_T.length;
  }
  const ints = (of: (batch: PackedBatch, firstRow: number) => Int32Array): Int32Array =>
    Int32Array.from(batches.flatMap((batch, index) => [...of(batch, firstRows[index])]));
  return {
    tokenIds_T: ints((batch) => batch.tokenIds_T),
    positions_T: ints((batch) => batch.positions_T),
    segmentStarts_T: ints((batch, firstRow) => batch.segmentStarts_T.map((start) => start + firstRow)),
    lossRows_N: ints((batch, firstRow) => batch.lossRows_N.map((row) => row + firstRow)),
    targets_N: ints((batch) => batch.targets_N),
    weights_N: Float32Array.from(batches.flatMap(({ weights_N }) => [...weights_N])),
    weightSum: batches.reduce((sum, { weightSum }) => sum + weightSum, 0),
    numExamples: batches.reduce((sum, { numExamples }) => sum + numExamples, 0),
  };
}

/**
 * Cuts a sequence of examples, in order, into groups of at most `maxTokens` tokens. An example that is longer than that is a
 * group of its own: nothing is cut or dropped.
 * @param lengths tokens of each example
 * @returns index ranges [begin, end)
 */
export function groupByTokens(lengths: readonly number[], maxTokens: number): (readonly [number, number])[] {
  const groups: (readonly [number, number])[] = [];
  let begin = 0;
  let tokens = 0;
  for (const [index, length] of lengths.entries()) {
    if (index > begin && tokens + length > maxTokens) {
      groups.push([begin, index]);
      begin = index;
      tokens = 0;
    }
    tokens += length;
  }
  if (begin < lengths.length) groups.push([begin, lengths.length]);
  return groups;
}
