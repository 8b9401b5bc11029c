import { assert } from '../base/index.ts';

/** Enough rows for the products' full speed: more only take memory. */
export const DEFAULT_MICRO_BATCH_TOKENS = 512;

/**
 * An example as token ids, with the weight of predicting each of them (0 for what is given, such as the prompt). It is one sequence, or
 * several that must share a batch, laid end to end: a pair of answers, each after the prompt.
 */
export interface TokenExample {
  readonly tokenIds: Int32Array;
  readonly lossWeights: Float32Array;
  /** The index after the last token of each sequence; one sequence when missing. */
  readonly ends?: readonly number[];
  /** Of an answer that stands alone: whether it is a good one. */
  readonly isDesirable?: boolean;
  /** Of a classification: the number of its label, which is predicted at the last token; `lossWeights` are zeros. */
  readonly label?: number;
}

/**
 * Whole examples laid end to end, without padding. Rows attend only inside their own segment, so packing changes no value.
 * T rows in S segments (the examples' sequences), N rows with a target. Attention sees X places: T, unless rows are shared.
 */
export interface PackedBatch {
  readonly tokenIds_T: Int32Array;
  readonly positions_T: Int32Array;
  /** The first place of each place's segment, in attention. */
  readonly segmentStarts_X: Int32Array;
  /** The row of each place in attention, where rows stand in several segments: see `withSharedPrefix`. */
  readonly rows_X?: Int32Array | undefined;
  /** Rows whose next token has a weight; of an example with a label, its last one. */
  readonly lossRows_N: Int32Array;
  /** Their next tokens; labels of a classification. */
  readonly targets_N: Int32Array;
  readonly weights_N: Float32Array;
  /** Of `lossRows_N`, the index after the last one of each segment. */
  readonly lossEnds_S: Int32Array;
  readonly weightSum: number;
  readonly numExamples: number;
  readonly examples: readonly TokenExample[];
}

export function packExamples(examples: readonly TokenExample[]): PackedBatch {
  const T = examples.reduce((sum, example) => sum + example.tokenIds.length, 0);
  const tokenIds_T = new Int32Array(T);
  const positions_T = new Int32Array(T);
  const segmentStarts_X = new Int32Array(T);
  const lossRows: number[] = [];
  const targets: number[] = [];
  const weights: number[] = [];
  const lossEnds: number[] = [];
  let start = 0;
  for (const { tokenIds, lossWeights, ends = [tokenIds.length], label } of examples) {
    assert(tokenIds.length === lossWeights.length, 'every token has a loss weight');
    assert(ends.at(-1) === tokenIds.length, 'every token belongs to a sequence');
    tokenIds_T.set(tokenIds, start);
    let begin = 0;
    for (const end of ends) {
      segmentStarts_X.fill(start + begin, start + begin, start + end);
      for (let i = begin; i < end; i++) {
        positions_T[start + i] = i - begin;
        const isLabelled = label !== undefined && i + 1 === end;
        const weight = isLabelled ? 1 : i + 1 < end ? lossWeights[i + 1] : 0;
        if (weight === 0) continue;
        lossRows.push(start + i);
        targets.push(isLabelled ? label : tokenIds[i + 1]);
        weights.push(weight);
      }
      lossEnds.push(lossRows.length);
      begin = end;
    }
    start += tokenIds.length;
  }
  return {
    tokenIds_T,
    positions_T,
    segmentStarts_X,
    lossRows_N: Int32Array.from(lossRows),
    targets_N: Int32Array.from(targets),
    weights_N: Float32Array.from(weights),
    lossEnds_S: Int32Array.from(lossEnds),
    weightSum: weights.reduce((sum, weight) => sum + weight, 0),
    numExamples: examples.length,
    examples,
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
