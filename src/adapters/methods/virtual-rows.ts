import type { InputRows } from '../../model/index.ts';

/** The rows of a pass that are virtual tokens, and which of them each is: they stand at the first positions of their sequences. */
export function virtualRows({ positions_T }: InputRows, numVirtual: number): { to: Int32Array; from: Int32Array } {
  const to: number[] = [];
  for (const [row, position] of positions_T.entries()) if (position < numVirtual) to.push(row);
  return { to: Int32Array.from(to), from: Int32Array.from(to, (row) => positions_T[row]) };
}
