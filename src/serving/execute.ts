import { spanHooks, type RowSpan } from '../adapters/index.ts';
import { forward, headRows, type Attend, type BaseModel } from '../model/index.ts';
import type { Floats, Inference, PagedRows } from '../numeric/index.ts';
import type { KvBlocks } from './kv-blocks.ts';
import { gatherPromptRows, type PromptRow } from './prompt-rows.ts';
import type { StepPlan } from './scheduler.ts';
import type { Sequence } from './sequence.ts';

/** Logits of the sequences that have reached their last token, valid until the graph's step ends. */
export interface StepResult {
  readonly sequences: readonly Sequence[];
  /** One row of V logits for each of `sequences`. */
  readonly logits: readonly Floats[];
}

/** One forward pass over the rows of a plan, whatever adapters they use. Writes their keys and values into the cache. */
export function execute(g: Inference, base: BaseModel, blocks: KvBlocks, plan: StepPlan): StepResult {
  const rows = layOut(blocks, plan);
  const hidden = forward(
    g,
    base,
    { tokenIds_T: rows.tokenIds_T, positions_T: rows.positions_T, attend: attendCached(base, blocks, rows) },
    spanHooks(rows.spans),
  );
  if (rows.promptRows.length > 0) gatherPromptRows(g, base, hidden, rows.promptRows);
  if (rows.lastRows.length === 0) return { sequences: [], logits: [] };
  const last = headRows(g, base, hidden, Int32Array.from(rows.lastRows));
  const { vocabSize: V } = base.config;
  const logits = g.empty([rows.lastRows.length, V]);
  g.kernels.linearForward(logits.data, last.data, base.head, rows.lastRows.length, false);
  return {
    sequences: rows.finishing,
    logits: rows.finishing.map((_, n) => logits.data.subarray(n * V, (n + 1) * V)),
  };
}

interface StepRows {
  readonly tokenIds_T: Int32Array;
  readonly positions_T: Int32Array;
  /** Each row's place in the cache. */
  readonly slots_T: Int32Array;
  readonly paged: PagedRows;
  readonly spans: RowSpan[];
  readonly promptRows: PromptRow[];
  readonly lastRows: number[];
  readonly finishing: Sequence[];
}

function layOut(blocks: KvBlocks, plan: StepPlan): StepRows {
  const T = plan.reduce((sum, { numNew }) => sum + numNew, 0);
  const maxBlocks = Math.max(...plan.map(({ sequence }) => sequence.blocks.length));
  const rows: StepRows = {
    tokenIds_T: new Int32Array(T),
    positions_T: new Int32Array(T),
    slots_T: new Int32Array(T),
    paged: {
      rowSequences: new Int32Array(T),
      contextLengths: new Int32Array(T),
      blockTables: new Int32Array(plan.length * maxBlocks),
      maxBlocks,
      blockSize: blocks.blockSize,
    },
    spans: [],
    promptRows: [],
    lastRows: [],
    finishing: [],
  };
  let row = 0;
  for (const [index, { sequence, numNew }] of plan.entries()) {
    rows.paged.blockTables.set(sequence.blocks, index * maxBlocks);
    rows.spans.push({ begin: row, end: row + numNew, adapter: sequence.adapter });
    for (let i = 0; i < numNew; i++, row++) {
      const position = sequence.numComputed + i;
      rows.tokenIds_T[row] = sequence.tokenIds[position];
      rows.positions_T[row] = position;
      const block = sequence.blocks[Math.floor(position / blocks.blockSize)];
      rows.slots_T[row] = block * blocks.blockSize + (position % blocks.blockSize);
      rows.paged.rowSequences[row] = index;
      rows.paged.contextLengths[row] = position + 1;
      if (sequence.promptRows?.has(position)) rows.promptRows.push({ rows: sequence.promptRows, row, index: position });
    }
    if (sequence.request.maxTokens !== 0 && sequence.numComputed + numNew === sequence.numTokens) {
      rows.lastRows.push(row - 1);
      rows.finishing.push(sequence);
    }
  }
  return { ...rows, spans: joinSpans(rows.spans) };
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
  const width = G * E;
  return (g, layer, q, k, v) => {
    const keys = blocks.keys[layer];
    const values = blocks.values[layer];
    for (let t = 0; t < T; t++) {
      const slot = rows.slots_T[t] * width;
      keys.set(k.data.subarray(t * width, (t + 1) * width), slot);
      values.set(v.data.subarray(t * width, (t + 1) * width), slot);
    }
    const out = g.empty(q.shape);
    g.kernels.attentionPaged(out.data, q.data, keys, values, rows.paged, shape);
    return out;
  };
}
