import type { PackedBatch } from './pack.ts';

/**
 * The batch with rows for virtual tokens before each segment, at positions 0..numVirtual: hooks that ask for them (`SiteHooks.numVirtual`)
 * write what they hold. Nothing is predicted from them, so the loss's own order stays.
 */
export function withVirtualRows(batch: PackedBatch, numVirtual: number): PackedBatch {
  if (numVirtual === 0) return batch;
  const { tokenIds_T, positions_T, segmentStarts_X } = batch;
  const tokenIds: number[] = [];
  const positions: number[] = [];
  const starts: number[] = [];
  /** Of each row without virtual ones, its place with them. */
  const moved = new Int32Array(tokenIds_T.length);
  for (const [row, tokenId] of tokenIds_T.entries()) {
    if (positions_T[row] === 0) {
      const start = tokenIds.length;
      for (let n = 0; n < numVirtual; n++) {
        tokenIds.push(0);
        positions.push(n);
        starts.push(start);
      }
    }
    moved[row] = tokenIds.length;
    tokenIds.push(tokenId);
    positions.push(positions_T[row] + numVirtual);
    starts.push(moved[segmentStarts_X[row]] - numVirtual);
  }
  return {
    ...batch,
    tokenIds_T: Int32Array.from(tokenIds),
    positions_T: Int32Array.from(positions),
    segmentStarts_X: Int32Array.from(starts),
    lossRows_N: batch.lossRows_N.map((row) => moved[row]),
  };
}
