import { spanHooks, type RowSpan } from '../adapters/index.ts';
import { forward, headRows, type Attend, type BaseModel } from '../model/index.ts';
import type { AttentionShape, Floats, Inference, PagedRows } from '../numeric/index.ts';
import { replaceInputRows, replaceTokenLogits, writeGivenKeys, type SequenceRows } from './adapter-rows.ts';
import type { KvBlocks } from './cache/kv-blocks.ts';
import { gatherPromptRows, type PromptRow } from './prompt-rows.ts';
import type { PlannedRows, StepPlan } from './scheduling/step-plan.ts';
import type { Sequence } from './sequence.ts';
import { chooseRows } from './wanted-rows.ts';
import type { Draft } from './speculation/drafts.ts';

/** A row of logits, valid until the graph's step ends. */
export interface LogitsRow {
  readonly logits_V: Floats;
  /** The lowest id with the highest logit. */
  readonly best: number;
}

/** A sequence that has reached its last token. */
export interface ReachedSequence {
  readonly sequence: Sequence;
  /** What was guessed to come after it. */
  readonly draft: Draft;
  /** Of the last token, then of each guessed one. */
  readonly rows: readonly LogitsRow[];
}

/** One forward pass over the rows of a plan, whatever adapters they use. Writes their keys and values into the cache. */
export function execute(g: Inference, base: BaseModel, blocks: KvBlocks, plan: StepPlan): ReachedSequence[] {
  const rows = layOut(base, blocks, plan);
  const all = spanHooks(rows.spans);
  const wanted = chooseRows(rows);
  const hooks = wanted ? spanHooks(wanted.spans) : all;
  const hidden = forward(
    g,
    base,
    {
      tokenIds_T: rows.tokenIds_T,
      positions_T: rows.positions_T,
      attend: attendCached(base, blocks, rows.paged),
      ...(rows.ownInputs.length > 0 && { editInputs: (inputs) => replaceInputRows(inputs, rows.ownInputs) }),
      ...(wanted && { wanted: { ...wanted, hooks, attend: attendCached(base, blocks, rows.paged, wanted.paged) } }),
    },
    all,
  );
  // From here on, rows are those that the last layer was asked for.
  const { promptRows, lastRows } = wanted ?? rows;
  if (promptRows.length > 0) gatherPromptRows(g, base, hidden, promptRows, hooks);
  if (lastRows.length === 0) return [];
  const last = headRows(g, base, hidden, Int32Array.from(lastRows), hooks);
  const { vocabSize: V, hiddenSize: D } = base.config;
  const logits = g.empty([lastRows.length, V]);
  g.kernels.linearForward(logits.data, last.data, base.head, lastRows.length, false);
  const rowOf = (n: number): Floats => logits.data.subarray(n * V, (n + 1) * V);
  let begin = 0;
  const reached = rows.finishing.map(({ sequence, draft }) => {
    const end = begin + 1 + draft.tokenIds.length;
    const range = { sequence, draft, begin, end };
    for (; begin < end; begin++) {
      replaceTokenLogits(g, rowOf(begin), last.data.subarray(begin * D, (begin + 1) * D), sequence);
    }
    return range;
  });
  const best = new Int32Array(lastRows.length);
  g.kernels.argmaxRows(best, logits.data, best.length);
  return reached.map(({ sequence, draft, begin: first, end }) => ({
    sequence,
    draft,
    rows: Array.from({ length: end - first }, (_, n) => ({ logits_V: rowOf(first + n), best: best[first + n] })),
  }));
}

interface StepRows {
  readonly tokenIds_T: Int32Array;
  readonly positions_T: Int32Array;
  readonly paged: PagedRows;
  readonly spans: RowSpan[];
  /** Sequences whose adapter has input rows of its own. */
  readonly ownInputs: SequenceRows[];
  readonly promptRows: PromptRow[];
  /** Those whose logits are needed. */
  readonly lastRows: number[];
  readonly finishing: PlannedRows[];
}

function layOut(base: BaseModel, blocks: KvBlocks, plan: StepPlan): StepRows {
  const T = plan.reduce((sum, planned) => sum + numRowsOf(planned), 0);
  const maxBlocks = Math.max(...plan.map(({ sequence }) => sequence.blocks.length));
  const rows: StepRows = {
    tokenIds_T: new Int32Array(T),
    positions_T: new Int32Array(T),
    paged: {
      rowSequences: new Int32Array(T),
      contextLengths: new Int32Array(T),
      blockTables: new Int32Array(plan.length * maxBlocks),
      maxBlocks,
      blockSize: blocks.blockSize,
    },
    spans: [],
    ownInputs: [],
    promptRows: [],
    lastRows: [],
    finishing: [],
  };
  let row = 0;
  for (const [index, planned] of plan.entries()) {
    const { sequence, numNew, draft } = planned;
    const { adapter, numComputed, numGiven, numVirtual } = sequence;
    rows.paged.blockTables.set(sequence.blocks, index * maxBlocks);
    if (numComputed < numGiven) writeGivenKeys(base, blocks, sequence, numComputed, numGiven);
    const numRows = numRowsOf(planned);
    const [begin, end, first] = [row, row + numRows, numComputed + numNew + draft.tokenIds.length - numRows];
    rows.spans.push({ begin, end, adapter });
    if (adapter.virtual ?? adapter.tokenRows ?? adapter.embedding) {
      rows.ownInputs.push({ sequence, begin, position: first, tokenIds: rows.tokenIds_T.subarray(begin, end) });
    }
    for (let position = first; row < end; row++, position++) {
      // A virtual embedding has no id: whatever stands for it is written over.
      rows.tokenIds_T[row] = position < numVirtual ? 0 : tokenAt(planned, position - numVirtual);
      rows.positions_T[row] = position;
      rows.paged.rowSequences[row] = index;
      rows.paged.contextLengths[row] = position + 1;
      const { promptRows } = sequence;
      const place = position - numVirtual;
      if (promptRows?.has(place)) rows.promptRows.push({ sequence, rows: promptRows, row, index: place });
    }
    if (sequence.request.maxTokens !== 0 && sequence.numComputed + numNew === sequence.numTokens) {
      for (let last = end - 1 - draft.tokenIds.length; last < end; last++) rows.lastRows.push(last);
      rows.finishing.push(planned);
    }
  }
  return { ...rows, spans: joinSpans(rows.spans) };
}

/** Rows to compute: the positions of a plan without those whose keys and values the adapter brings. */
function numRowsOf({ sequence, numNew, draft }: PlannedRows): number {
  return numNew - Math.max(0, sequence.numGiven - sequence.numComputed) + draft.tokenIds.length;
}

/** A token of the sequence, or one that is guessed to follow. */
function tokenAt({ sequence: { tokenIds }, draft }: PlannedRows, index: number): number {
  return index < tokenIds.length ? tokenIds[index] : draft.tokenIds[index - tokenIds.length];
}

/** Neighbouring sequences of one adapter are one span. */
function joinSpans(spans: readonly RowSpan[]): RowSpan[] {
  const joined: RowSpan[] = [];
  for (const span of spans) {
    const last = joined.at(-1);
    if (last && last.adapter === span.adapter) joined[joined.length - 1] = { ...last, end: span.end };
    else joined.push(span);
  }
  return joined;
}

/** @param queries the rows that attend, all unless given */
function attendCached(base: BaseModel, blocks: KvBlocks, rows: PagedRows, queries = rows): Attend {
  const { numHeads: H, numKeyValueHeads: G, headWidth: E } = base.config;
  const shapeOf = (T: number): AttentionShape => ({ T, H, G, E, scale: 1 / Math.sqrt(E) });
  return (g, layer, q, k, v) => {
    const keys = blocks.keys[layer];
    const values = blocks.values[layer];
    g.kernels.cacheKeyValues(keys, values, k.data, v.data, rows, shapeOf(rows.rowSequences.length));
    const out = g.empty(q.shape);
    g.kernels.attentionPaged(out.data, q.data, keys, values, queries, shapeOf(queries.rowSequences.length));
    return out;
  };
}
