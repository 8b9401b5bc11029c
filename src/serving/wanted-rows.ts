import type { RowSpan } from '../adapters/index.ts';
import { broken } from '../base/index.ts';
import type { PagedRows } from '../numeric/index.ts';
import type { PromptRow } from './prompt-rows.ts';

/** Fewer rows than this are not worth a second set of rows. */
const FEWEST_SPARED = 8;

/** What of a step's rows decides which of them the last layer need make. */
interface LaidOutRows {
  readonly positions_T: Int32Array;
  readonly paged: PagedRows;
  readonly spans: readonly RowSpan[];
  readonly promptRows: readonly PromptRow[];
  readonly lastRows: readonly number[];
}

/** The rows of which somebody reads what the last layer makes, and all that says which row is which, counted among them. */
export interface ChosenRows {
  readonly rows_N: Int32Array;
  readonly positions_N: Int32Array;
  readonly paged: PagedRows;
  readonly spans: RowSpan[];
  readonly promptRows: PromptRow[];
  readonly lastRows: number[];
}

/** Of a prompt only the last row is read, unless its log-probabilities or an embedding are wanted. @returns undefined where too few rows would be spared */
export function chooseRows({ positions_T, paged, spans, promptRows, lastRows }: LaidOutRows): ChosenRows | undefined {
  const T = positions_T.length;
  const read = new Set([...promptRows.map(({ row }) => row), ...lastRows]);
  // A part of a prompt has no row to read; the kernels want one.
  if (read.size === 0) read.add(0);
  if (T - read.size < FEWEST_SPARED) return undefined;
  const rows_N = Int32Array.from(read).sort();
  const place = new Map(Array.from(rows_N, (row, n) => [row, n]));
  const placeOf = (row: number): number => place.get(row) ?? broken(`row ${row} was not chosen`);
  return {
    rows_N,
    positions_N: rows_N.map((row) => positions_T[row]),
    paged: {
      ...paged,
      rowSequences: rows_N.map((row) => paged.rowSequences[row]),
      contextLengths: rows_N.map((row) => paged.contextLengths[row]),
    },
    spans: spansOf(rows_N, spans),
    promptRows: promptRows.map((one) => ({ ...one, row: placeOf(one.row) })),
    lastRows: lastRows.map(placeOf),
  };
}

/** The spans of the rows, counted among them; none that is empty. */
function spansOf(rows_N: Int32Array, spans: readonly RowSpan[]): RowSpan[] {
  const chosen: RowSpan[] = [];
  let begin = 0;
  for (const span of spans) {
    while (begin < rows_N.length && rows_N[begin] < span.begin) begin++;
    let end = begin;
    while (end < rows_N.length && rows_N[end] < span.end) end++;
    if (end > begin) chosen.push({ ...span, begin, end });
    begin = end;
  }
  return chosen;
}
