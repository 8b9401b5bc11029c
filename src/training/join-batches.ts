import type { PackedBatch } from './pack.ts';

/** Batches one after another as one, rows and targets in their order. */
export function joinBatches(batches: readonly PackedBatch[]): PackedBatch {
  const firstRows: number[] = [];
  /** Where each batch begins in attention. */
  const firstPlaces: number[] = [];
  let [numRows, numPlaces] = [0, 0];
  for (const { tokenIds_T, segmentStarts_X } of batches) {
    firstRows.push(numRows);
    firstPlaces.push(numPlaces);
    numRows += tokenIds_T.length;
    numPlaces += segmentStarts_X.length;
  }
  const lossEnds: number[] = [];
  for (const { lossEnds_S } of batches) {
    const before = lossEnds.at(-1) ?? 0;
    for (const end of lossEnds_S) lossEnds.push(before + end);
  }
  const ints = (of: (batch: PackedBatch, firstRow: number, firstPlace: number) => Int32Array): Int32Array =>
    Int32Array.from(batches.flatMap((batch, index) => [...of(batch, firstRows[index], firstPlaces[index])]));
  const rows_X =
    batches.some((batch) => batch.rows_X) && ints((batch, firstRow) => rowsOf(batch).map((row) => row + firstRow));
  return {
    tokenIds_T: ints((batch) => batch.tokenIds_T),
    positions_T: ints((batch) => batch.positions_T),
    segmentStarts_X: ints((batch, _, firstPlace) => batch.segmentStarts_X.map((start) => start + firstPlace)),
    ...(rows_X && { rows_X }),
    lossRows_N: ints((batch, firstRow) => batch.lossRows_N.map((row) => row + firstRow)),
    targets_N: ints((batch) => batch.targets_N),
    weights_N: Float32Array.from(batches.flatMap(({ weights_N }) => [...weights_N])),
    lossEnds_S: Int32Array.from(lossEnds),
    weightSum: batches.reduce((sum, { weightSum }) => sum + weightSum, 0),
    numExamples: batches.reduce((sum, { numExamples }) => sum + numExamples, 0),
    examples: batches.flatMap(({ examples }) => examples),
  };
}

/** Each place is a row, where none is shared. */
function rowsOf({ rows_X, tokenIds_T }: PackedBatch): Int32Array {
  return rows_X ?? Int32Array.from(tokenIds_T.keys());
}
