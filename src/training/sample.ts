import { forward, headRows, logitsAt, type Attend, type BaseModel, type SiteHooks } from '../model/index.ts';
import type { Inference, PagedRows } from '../numeric/index.ts';

export interface SamplingLimits {
  /** Tokens of an answer, at most; fewer where the model's context ends. */
  readonly maxTokens: number;
  /** An answer ends before one of these. */
  readonly stopTokenIds: readonly number[];
}

/** A prompt that is being continued. All of its keys and values are one block of the cache. */
interface Continuation {
  readonly tokenIds: number[];
  readonly numPrompt: number;
  numComputed: number;
  isDone: boolean;
}

/**
 * Continues prompts greedily, all in one batch, with keys and values kept: to look at a model while it is trained. Serving has an engine
 * for that; this is the plain loop, on the weights as they are between two steps.
 * @returns the token ids of each answer
 */
export function continueGreedily(
  g: Inference,
  base: BaseModel,
  hooks: SiteHooks,
  prompts: readonly Int32Array[],
  { maxTokens, stopTokenIds }: SamplingLimits,
): number[][] {
  const { numLayers, numKeyValueHeads: G, headWidth: E, contextLength } = base.config;
  const numVirtual = hooks.numVirtual ?? 0;
  const blockSize = Math.max(...prompts.map(({ length }) => Math.min(numVirtual + length + maxTokens, contextLength)));
  const caches = Array.from({ length: numLayers }, () => {
    const size = prompts.length * blockSize * G * E;
    return { k: new Float32Array(size), v: new Float32Array(size) };
  });
  const continuations = prompts.map((prompt): Continuation => ({
    tokenIds: [...new Int32Array(numVirtual), ...prompt],
    numPrompt: numVirtual + prompt.length,
    numComputed: 0,
    isDone: prompt.length === 0 || numVirtual + prompt.length >= contextLength,
  }));
  while (continuations.some(({ isDone }) => !isDone)) {
    const { paged, tokenIds_T, positions_T, lastRows, active } = layOut(continuations, blockSize);
    const attend: Attend = (graph, layer, q, k, v) => {
      const shape = { T: tokenIds_T.length, H: base.config.numHeads, G, E, scale: 1 / Math.sqrt(E) };
      const out = graph.empty(q.shape);
      graph.kernels.cacheKeyValues(caches[layer].k, caches[layer].v, k.data, v.data, paged, shape);
      graph.kernels.attentionPaged(out.data, q.data, caches[layer].k, caches[layer].v, paged, shape);
      return out;
    };
    const hidden = forward(g, base, { tokenIds_T, positions_T, attend }, hooks);
    const logits = logitsAt(g, base, headRows(g, base, hidden, lastRows, hooks), hooks);
    const best = new Int32Array(active.length);
    g.kernels.argmaxRows(best, logits.data, active.length);
    g.endStep();
    for (const [index, continuation] of active.entries()) {
      continuation.numComputed = continuation.tokenIds.length;
      // Of logits that are not numbers nothing comes; the run says why.
      if (best[index] < 0 || stopTokenIds.includes(best[index])) {
        continuation.isDone = true;
        continue;
      }
      continuation.tokenIds.push(best[index]);
      const { tokenIds, numPrompt } = continuation;
      continuation.isDone = tokenIds.length - numPrompt >= maxTokens || tokenIds.length >= contextLength;
    }
  }
  return continuations.map(({ tokenIds, numPrompt }) => tokenIds.slice(numPrompt));
}

/** The rows that are not computed yet: whole prompts at first, then one row each. */
function layOut(continuations: readonly Continuation[], blockSize: number) {
  const active = continuations.filter(({ isDone }) => !isDone);
  const T = active.reduce((sum, { tokenIds, numComputed }) => sum + tokenIds.length - numComputed, 0);
  const paged: PagedRows = {
    rowSequences: new Int32Array(T),
    contextLengths: new Int32Array(T),
    blockTables: Int32Array.from(active, (one) => continuations.indexOf(one)),
    maxBlocks: 1,
    blockSize,
  };
  const tokenIds_T = new Int32Array(T);
  const positions_T = new Int32Array(T);
  const lastRows: number[] = [];
  let row = 0;
  for (const [index, { tokenIds, numComputed }] of active.entries()) {
    for (let position = numComputed; position < tokenIds.length; position++, row++) {
      tokenIds_T[row] = tokenIds[position];
      positions_T[row] = position;
      paged.rowSequences[row] = index;
      paged.contextLengths[row] = position + 1;
    }
    lastRows.push(row - 1);
  }
  return { paged, tokenIds_T, positions_T, lastRows: Int32Array.from(lastRows), active };
}
