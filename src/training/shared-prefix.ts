import type { PackedBatch, TokenExample } from './pack.ts';

/**
 * Sequences often begin alike: the examples of a task by a system message, an instruction, the frame of the chat template; two answers by
 * their prompt. Such rows are the same in every layer whatever follows them, since attention is causal; so a micro-batch computes them
 * once, and its other rows attend to them as to their own (`Kernels.attentionForward`). No value changes by a bit; sums of gradients run
 * in another order.
 */

/** The batch where each sequence has rows of its own only from where it differs from every earlier one. */
export function withSharedPrefix(batch: PackedBatch): PackedBatch {
  const { tokenIds_T, positions_T, segmentStarts_X } = batch;
  const starts = [...new Set(segmentStarts_X)];
  const beginnings = new Beginnings();
  const rows_X = new Int32Array(tokenIds_T.length);
  const places: number[] = [];
  for (const [index, start] of starts.entries()) {
    const sequence = tokenIds_T.subarray(start, starts[index + 1]);
    const { length, of } = beginnings.add(sequence);
    rows_X.copyWithin(start, starts[of], starts[of] + length);
    for (let place = start + length; place < start + sequence.length; place++) {
      rows_X[place] = places.length;
      places.push(place);
    }
  }
  if (places.length === rows_X.length) return batch;
  const places_T = Int32Array.from(places);
  return {
    ...batch,
    tokenIds_T: places_T.map((place) => tokenIds_T[place]),
    positions_T: places_T.map((place) => positions_T[place]),
    lossRows_N: batch.lossRows_N.map((row) => rows_X[row]),
    rows_X,
  };
}

/**
 * As `groupByTokens`, where sequences of a group share their beginnings: at most `maxRows` rows are left of it.
 * @returns index ranges [begin, end)
 */
export function groupBySharedRows(examples: readonly TokenExample[], maxRows: number): (readonly [number, number])[] {
  const groups: (readonly [number, number])[] = [];
  let begin = 0;
  let beginnings = new Beginnings();
  for (const [index, example] of examples.entries()) {
    addExample(beginnings, example);
    if (index === begin || beginnings.numRows <= maxRows) continue;
    groups.push([begin, index]);
    begin = index;
    beginnings = new Beginnings();
    addExample(beginnings, example);
  }
  if (begin < examples.length) groups.push([begin, examples.length]);
  return groups;
}

function addExample(beginnings: Beginnings, { tokenIds, ends = [tokenIds.length] }: TokenExample): void {
  for (const [index, end] of ends.entries()) beginnings.add(tokenIds.subarray(ends[index - 1] ?? 0, end));
}

/** Sequences, and the rows that are left of them where beginnings are shared. */
class Beginnings {
  readonly #sequences: Int32Array[] = [];
  numRows = 0;

  /** @returns the longest beginning that it has in common with an earlier sequence, and the number of the first that has it */
  add(sequence: Int32Array): { readonly length: number; readonly of: number } {
    let [length, of] = [0, 0];
    for (const [index, other] of this.#sequences.entries()) {
      const common = commonLength(sequence, other);
      if (common > length) [length, of] = [common, index];
    }
    this.#sequences.push(sequence);
    this.numRows += sequence.length - length;
    return { length, of };
  }
}

/** How many tokens two sequences begin with alike. */
function commonLength(a: Int32Array, b: Int32Array): number {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && a[length] === b[length]) length++;
  return length;
}
