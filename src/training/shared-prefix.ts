import type { PackedBatch, TokenExample } from './pack.ts';

/**
 * The examples of a task often begin alike: a system message, an instruction, the frame of the chat template. Such rows are the same in every
 * layer whatever follows them, since attention is causal; so a micro-batch computes them once, and its other rows attend to
 * them as to their own (`sharedAttention`). No value changes by a bit; sums of gradients run in another order.
 */

/** A shorter beginning saves less than laying it out costs. */
const LEAST_PREFIX = 8;
/** Laid out for attention, a micro-batch may have so many times the rows that it holds. */
const MOST_LAID_OUT = 4;

/** The batch with the beginning that all of its segments have in common as rows of the first one alone. */
export function withSharedPrefix(batch: PackedBatch): PackedBatch {
  const { tokenIds_T, positions_T, segmentStarts_X } = batch;
  const starts = [...new Set(segmentStarts_X)];
  const first = tokenIds_T.subarray(0, starts[1] ?? 0);
  let prefix = first.length;
  for (const [index, start] of starts.entries()) {
    prefix = commonLength(first, tokenIds_T.subarray(start, starts[index + 1]), prefix);
  }
  if (prefix < LEAST_PREFIX) return batch;
  const rows_X = new Int32Array(tokenIds_T.length);
  const places: number[] = [];
  for (let place = 0; place < rows_X.length; place++) {
    const isCopy = segmentStarts_X[place] > 0 && positions_T[place] < prefix;
    rows_X[place] = isCopy ? positions_T[place] : places.length;
    if (!isCopy) places.push(place);
  }
  const places_T = Int32Array.from(places);
  return {
    ...batch,
    tokenIds_T: places_T.map((place) => tokenIds_T[place]),
    positions_T: places_T.map((place) => positions_T[place]),
    lossRows_N: batch.lossRows_N.map((row) => rows_X[row]),
    shared: { rows_X, places_T },
  };
}

/**
 * As `groupByTokens`, where each group is to share the beginning that its sequences have in common: at most `maxRows` rows are left of it.
 * @returns index ranges [begin, end)
 */
export function groupBySharedRows(examples: readonly TokenExample[], maxRows: number): (readonly [number, number])[] {
  const groups: (readonly [number, number])[] = [];
  let begin = 0;
  let group = new SharedGroup();
  for (const [index, example] of examples.entries()) {
    let larger = group.with(example);
    if (index > begin && (larger.numRows > maxRows || larger.numPlaces > MOST_LAID_OUT * maxRows)) {
      groups.push([begin, index]);
      begin = index;
      larger = new SharedGroup().with(example);
    }
    group = larger;
  }
  if (begin < examples.length) groups.push([begin, examples.length]);
  return groups;
}

/** What examples laid end to end take, and have in common. */
class SharedGroup {
  readonly numPlaces: number;
  readonly #first: Int32Array;
  readonly #prefix: number;
  readonly #numSequences: number;

  constructor(first: Int32Array = new Int32Array(0), prefix = Infinity, numSequences = 0, numPlaces = 0) {
    this.#first = first;
    this.#prefix = prefix;
    this.#numSequences = numSequences;
    this.numPlaces = numPlaces;
  }

  get numRows(): number {
    const copies = this.#prefix < LEAST_PREFIX ? 0 : (this.#numSequences - 1) * this.#prefix;
    return this.numPlaces - copies;
  }

  with({ tokenIds, ends = [tokenIds.length] }: TokenExample): SharedGroup {
    const sequences = ends.map((end, index) => tokenIds.subarray(ends[index - 1] ?? 0, end));
    const first = this.#numSequences === 0 ? sequences[0] : this.#first;
    const prefix = sequences.reduce((least, one) => commonLength(first, one, least), this.#prefix);
    return new SharedGroup(first, prefix, this.#numSequences + sequences.length, this.numPlaces + tokenIds.length);
  }
}

/** How many tokens two sequences begin with alike, at most `most`. */
function commonLength(a: Int32Array, b: Int32Array, most: number): number {
  const end = Math.min(a.length, b.length, most);
  let length = 0;
  while (length < end && a[length] === b[length]) length++;
  return length;
}
