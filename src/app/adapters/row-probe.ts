/** The proof of what the linear layers' parity probe (adapters/proof) does not see: virtual tokens, trained tokens' rows, trained norms. */
import {
  spanHooks,
  PARITY_TOLERANCES,
  type CompiledAdapter,
  type EmbeddingPart,
  type HeadPart,
  type TokenRows,
  type VirtualTokens,
} from '../../adapters/index.ts';
import { fail, Rng } from '../../base/index.ts';
import { attendPacked, forward, headRows, type Attend, type BaseModel, type SiteHooks } from '../../model/index.ts';
import { BufferPool, compareToReference, Inference, type Tensor } from '../../numeric/index.ts';
import { DEFAULT_ENGINE, Engine, GREEDY, type GenerateRequest } from '../../serving/index.ts';

const PROBE_PROMPT = 12;
/** Tokens that are generated, and so rows of logits that are compared. */
const PROBE_ANSWER = 4;
/** Small, so that virtual tokens are computed in pieces, as a batch does it. */
const STEP_TOKENS = 7;

export interface RowProbe {
  /** ‖served − plain‖ / ‖plain‖ of the logits. */
  readonly error: number;
  readonly tolerance: number;
}

/**
 * Lets the engine answer a prompt with the adapter, in a batch with the same prompt on the base, and compares its logits with those of a
 * plain forward pass that knows no cache: virtual embeddings and trained rows are written into its input, virtual keys and values stand
 * before its attention's.
 * @returns undefined for an adapter that has none of these
 * @throws ADAPTER_INVALID the two differ, or the adapter changes no logit
 */
export function probeRows(base: BaseModel, adapter: CompiledAdapter): RowProbe | undefined {
  const { virtual, tokenRows, norms, embedding, head } = adapter;
  if (!(virtual ?? tokenRows ?? norms ?? embedding ?? head)) return undefined;
  const prompt = probePrompt(base, tokenRows);
  const { tokenIds, logits, unchanged } = servedLogits(base, adapter, prompt, virtual?.count ?? 0);
  const plain = plainLogits(base, adapter, [...prompt, ...tokenIds.slice(0, -1)]);
  const tolerance = PARITY_TOLERANCES[base.format];
  const { passes, error, message } = compareToReference(logits, plain, tolerance);
  if (!passes) {
    fail('ADAPTER_INVALID', `the adapter's logits in a batch are not those of a plain pass: ${message}`, {
      param: 'parity',
    });
  }
  if (compareToReference(logits.subarray(0, unchanged.length), unchanged, Infinity).error === 0) {
    fail('ADAPTER_INVALID', 'the adapter changes no logit: it answers like the base', { param: 'effect' });
  }
  return { error, tolerance };
}

/** Random tokens, half of them trained ones where there are such. */
function probePrompt({ config }: BaseModel, tokenRows: TokenRows | undefined): number[] {
  const rng = Rng.fromSeed(0, 'row probe');
  return Array.from({ length: PROBE_PROMPT }, (_, n) => {
    const any = rng.nextBelow(config.vocabSize);
    return tokenRows && n % 2 === 0 ? tokenRows.ids[any % tokenRows.ids.length] : any;
  });
}

/** @returns the greedy answer with each of its rows of logits, and the base's first row */
function servedLogits(base: BaseModel, adapter: CompiledAdapter, prompt: readonly number[], numVirtual: number) {
  const tokenIds: number[] = [];
  let hasBase = false;
  const logits = new Float32Array(PROBE_ANSWER * base.config.vocabSize);
  const unchanged = new Float32Array(base.config.vocabSize);
  const cacheTokens = 2 * (numVirtual + prompt.length + PROBE_ANSWER) + 256;
  const engine = new Engine(
    base,
    { ...DEFAULT_ENGINE, maxStepTokens: STEP_TOKENS, cacheTokens },
    {
      choose({ request: { id } }, logits_V, best = 0) {
        if (id === 'adapter') logits.set(logits_V, tokenIds.push(best) * logits_V.length - logits_V.length);
        else if (!hasBase) unchanged.set(logits_V);
        hasBase ||= id === 'base';
        return { id: best, logprob: undefined };
      },
    },
  );
  const ask = (id: string): GenerateRequest => ({
    id,
    adapter: id === 'base' ? null : id,
    promptTokenIds: Int32Array.from(prompt),
    maxTokens: PROBE_ANSWER,
    stopTokenIds: [],
    sampling: GREEDY,
  });
  engine.submit(ask('base'));
  engine.submit(ask('adapter'), adapter);
  while (engine.hasWork) for (const { error } of engine.step().failures) throw error;
  return { tokenIds, logits, unchanged };
}

/** Logits of the last {@link PROBE_ANSWER} of these tokens, [PROBE_ANSWER · V]. */
function plainLogits(base: BaseModel, adapter: CompiledAdapter, tokenIds: readonly number[]): Float32Array {
  const { virtual, tokenRows, embedding, head } = adapter;
  const { config, kernels } = base;
  const g = new Inference(kernels, new BufferPool(kernels.name === 'reference' ? 'f64' : 'f32'));
  const [numRowsBefore, numKeysBefore] = virtual?.kind === 'embeddings' ? [virtual.count, 0] : [0, virtual?.count ?? 0];
  // What stands for a virtual token is written over.
  const ids = [...Array.from({ length: numRowsBefore }, () => 0), ...tokenIds];
  const input = {
    tokenIds_T: Int32Array.from(ids),
    positions_T: Int32Array.from(ids, (_, row) => numKeysBefore + row),
    attend:
      virtual?.kind === 'key-values' ? attendBehind(base, virtual) : attendPacked(config, new Int32Array(ids.length)),
    editInputs({ data }: Tensor): void {
      const width = config.hiddenSize;
      if (virtual?.kind === 'embeddings') data.set(virtual.embeddings_ND.data);
      for (const [n, id] of tokenIds.entries()) {
        const at = numRowsBefore + n;
        if (embedding) changeRow(data.subarray(at * width, (at + 1) * width), embedding, id);
        const row = tokenRows?.ids.indexOf(id) ?? -1;
        if (row >= 0) data.set(rowOf(tokenRows?.rows_KD, row), (numRowsBefore + n) * width);
      }
    },
  };
  const hooks: SiteHooks = {
    ...spanHooks([{ begin: 0, end: ids.length, adapter }]),
    norm: (_g, site, x, normalise) => normalise(x, adapter.norms?.get(site.path)),
  };
  const hidden = forward(g, base, input, hooks);
  const wanted = Int32Array.from({ length: PROBE_ANSWER }, (_, n) => ids.length - PROBE_ANSWER + n);
  const last = headRows(g, base, hidden, wanted, hooks);
  const logits = new Float32Array(PROBE_ANSWER * config.vocabSize);
  kernels.linearForward(logits, last.data, base.head, PROBE_ANSWER, false);
  if (head) {
    for (let n = 0; n < PROBE_ANSWER; n++) {
      changeLogits(logits.subarray(n * config.vocabSize, (n + 1) * config.vocabSize), head, rowOf(last, n));
    }
  }
  if (tokenRows?.isHeadTied) {
    for (let n = 0; n < PROBE_ANSWER; n++) {
      for (const [row, id] of tokenRows.ids.entries()) {
        logits[n * config.vocabSize + id] = dot(rowOf(last, n), rowOf(tokenRows.rows_KD, row));
      }
    }
  }
  return logits;
}

/** Attention of packed rows behind given keys and values: rows that ask nothing stand in the given ones' places. */
function attendBehind({ config }: BaseModel, given: VirtualTokens & { readonly kind: 'key-values' }): Attend {
  const { count } = given;
  return (g, layer, q, k, v) => {
    const T = count + q.shape[0];
    const behind = (rows: Tensor, before: Tensor['data'] | undefined): Tensor => {
      const width = rows.shape[1];
      const whole = g.empty([T, width]);
      whole.data.fill(0, 0, count * width);
      if (before) whole.data.set(before);
      whole.data.set(rows.data, count * width);
      return whole;
    };
    const ofLayer = ({ data, shape }: Tensor): Tensor['data'] => {
      const size = count * shape[2];
      return data.subarray(layer * size, (layer + 1) * size);
    };
    const attend = attendPacked(config, new Int32Array(T));
    const all = attend(
      g,
      layer,
      behind(q, undefined),
      behind(k, ofLayer(given.keys_LNK)),
      behind(v, ofLayer(given.values_LNK)),
    );
    const out = g.empty(q.shape);
    out.data.set(all.data.subarray(count * q.shape[1]));
    return out;
  };
}

function changeRow(row: Tensor['data'], part: EmbeddingPart, id: number): void {
  if (part.kind === 'table') row.set(rowOf(part.table_VD, id));
  else {
    const a = rowOf(part.a_VR, id);
    for (let d = 0; d < row.length; d++) row[d] += part.scale * dot(rowOf(part.b_DR, d), a);
  }
}

function changeLogits(logits: Float32Array, part: HeadPart, input: Tensor['data']): void {
  const inner =
    part.kind === 'table'
      ? undefined
      : Float32Array.from({ length: part.a_RD.shape[0] }, (_, r) => dot(rowOf(part.a_RD, r), input));
  for (let v = 0; v < logits.length; v++) {
    if (part.kind === 'table') logits[v] = dot(rowOf(part.table_VD, v), input);
    else if (inner) logits[v] += part.scale * dot(rowOf(part.b_VR, v), inner);
  }
}

function rowOf(rows: Tensor | undefined, row: number): Tensor['data'] {
  const width = rows?.shape[1] ?? 0;
  return rows?.data.subarray(row * width, (row + 1) * width) ?? new Float32Array();
}

function dot(a: Tensor['data'], b: Tensor['data']): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
