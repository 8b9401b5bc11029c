import { spanHooks, type RowSpan } from '../adapters/index.ts';
import { forward, headRows, type Attend, type BaseModel } from '../model/index.ts';
import type { Floats, Inference, PagedRows } from '../numeric/index.ts';
import { replaceInputRows, replaceTokenLogits, writeGivenKeys, type SequenceRows } from './adapter-rows.ts';
import type { KvBlocks } from './cache/kv-blocks.ts';
import { gatherPromptRows, type PromptRow } from './prompt-rows.ts';
import type { PlannedRows, StepPlan } from './scheduling/scheduler.ts';
import type { Sequence } from './sequence.ts';

/** Logits of the sequences that have reached their last token, valid until the graph's step ends. */
export interface StepResult {
  readonly sequences: readonly Sequence[];
  /** One row of V logits for each of `sequences`. */
  readonly logits: readonly Floats[];
  /** The lowest id with the highest logit, for each of `sequences`. */
  readonly best: Int32Array;
}

/** One forward pass over the rows of a plan, whatever adapters they use. Writes their keys and values into the cache. */
export function execute(g: Inference, base: BaseModel, blocks: KvBlocks, plan: StepPlan): StepResult {
  const rows = layOut(base, blocks, plan);
  const hidden = forward(
    g,
    base,
    {
      tokenIds_T: rows.tokenIds_T,
      positions_T: rows.positions_T,
      attend: attendCached(base, blocks, rows),
      ...(rows.ownInputs.length > 0 && { editInputs: (inputs) => replaceInputRows(inputs, rows.ownInputs) }),
    },
    spanHooks(rows.spans),
  );
  if (rows.promptRows.length > 0) gatherPromptRows(g, base, hidden, rows.promptRows);
  if (rows.lastRows.length === 0) return { sequences: [], logits: [], best: new Int32Array(0) };
  const last = headRows(g, base, hidden, Int32Array.from(rows.lastRows));
  const { vocabSize: V, hiddenSize: D } = base.config;
  const logits = g.empty([rows.lastRows.length, V]);
  g.kernels.linearForward(logits.data, last.data, base.head, rows.lastRows.length, false);
  const logitsOf = rows.finishing.map((sequence, n) => {
    const logits_V = logits.data.subarray(n * V, (n + 1) * V);
    replaceTokenLogits(g, logits_V, last.data.subarray(n * D, (n + 1) * D), sequence);
    return logits_V;
  });
  const best = new Int32Array(rows.finishing.length);
  g.kernels.argmaxRows(best, logits.data, best.length);
  return { sequences: rows.finishing, logits: logitsOf, best };
}

interface StepRows {
  readonly tokenIds_T: Int32Array;
  readonly positions_T: Int32Array;
  readonly paged: PagedRows;
  readonly spans: RowSpan[];
  /** Sequences whose adapter has input rows of its own. */
  readonly ownInputs: SequenceRows[];
  readonly promptRows: PromptRow[];
  readonly lastRows: number[];
  readonly finishing: Sequence[];
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
    const { sequence, numNew } = planned;
    const { adapter, numComputed, numGiven, numVirtual } = sequence;
    rows.paged.blockTables.set(sequence.blocks, index * maxBlocks);
    if (numComputed < numGiven) writeGivenKeys(base, blocks, sequence, numComputed, numGiven);
    const numRows = numRowsOf(planned);
    const [begin, end, first] = [row, row + numRows, numComputed + numNew - numRows];
    rows.spans.push({ begin, end, adapter });
    if (adapter.virtual ?? adapter.tokenRows) rows.ownInputs.push({ sequence, begin, end, position: first });
    for (let position = first; row < end; row++, position++) {
      // A virtual embedding has no id: whatever stands for it is written over.
      rows.tokenIds_T[row] = position < numVirtual ? 0 : sequence.tokenIds[position - numVirtual];
      rows.positions_T[row] = position;
      rows.paged.rowSequences[row] = index;
      rows.paged.contextLengths[row] = position + 1;
      const { promptRows } = sequence;
      const place = position - numVirtual;
      if (promptRows?.has(place)) rows.promptRows.push({ sequence, rows: promptRows, row, index: place });
    }
    if (sequence.request.maxTokens !== 0 && sequence.numComputed + numNew === sequence.numTokens) {
      rows.lastRows.push(row - 1);
      rows.finishing.push(sequence);
    }
  }
  return { ...rows, spans: joinSpans(rows.spans) };
}

/** Rows to compute: the positions of a plan without those whose keys and values the adapter brings. */
function numRowsOf({ sequence, numNew }: PlannedRows): number {
  return numNew - Math.max(0, sequence.numGiven - sequence.numComputed);
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

function attendCached(base: BaseModel, blocks: KvBlocks, rows: StepRows): Attend {
  const { numHeads: H, numKeyValueHeads: G, headWidth: E } = base.config;
  const T = rows.tokenIds_T.length;
  const shape = { T, H, G, E, scale: 1 / Math.sqrt(E) };
  return (g, layer, q, k, v) => {
    const keys = blocks.keys[layer];
    const values = blocks.values[layer];
    g.kernels.cacheKeyValues(keys, values, k.data, v.data, rows.paged, shape);
    const out = g.empty(q.shape);
    g.kernels.attentionPaged(out.data, q.data, keys, values, rows.paged, shape);
    return out;
  };
}
