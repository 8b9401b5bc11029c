import { assert, fail } from '../base/index.ts';
import { headRows, type BaseModel, type SiteHooks } from '../model/index.ts';
import type { Floats, Inference, Tensor } from '../numeric/index.ts';
import { classLogits, replaceTokenLogits } from './adapter-rows.ts';
import { LogprobRow } from './sampling/logprobs.ts';
import type { ClassLogits, GenerateRequest, Pooling, RankedLogprob } from './request.ts';
import type { Sequence } from './sequence.ts';

/** Rows whose logits are held at once: those of a whole step would be many times larger than everything else in it. */
const ROWS_AT_ONCE = 32;

/**
 * What a request wants of its prompt's rows beyond their keys and values, gathered as steps compute them. Each row counts once and in
 * order, however the prompt was cut into steps, and also when its rows are computed a second time.
 */
export class PromptRows {
  readonly #promptTokenIds: Int32Array;
  readonly #numTop: number | undefined;
  readonly #pooling: Pooling | undefined;
  readonly #classifies: boolean;
  #classes: ClassLogits | undefined;
  readonly #logprobs: RankedLogprob[] = [];
  #pooled_D = new Float64Array(0);
  #numRows = 0;

  /** @returns undefined for a request that wants none of it, which is nearly every one */
  static of(request: GenerateRequest): PromptRows | undefined {
    const { logprobs, embedding, classify } = request;
    return logprobs?.ofPrompt || embedding !== undefined || classify ? new PromptRows(request) : undefined;
  }

  private constructor({ promptTokenIds, logprobs, embedding, classify }: GenerateRequest) {
    assert(!classify || (!logprobs && embedding === undefined), 'a request for labels wants nothing else');
    this.#promptTokenIds = promptTokenIds;
    this.#numTop = logprobs?.ofPrompt === true ? logprobs.top : undefined;
    this.#pooling = embedding;
    this.#classifies = classify ?? false;
  }

  /** Whether the row of this token of the prompt is wanted: all, or the last for a classification. */
  has(index: number): boolean {
    const first = this.#classifies ? this.#promptTokenIds.length - 1 : 0;
    return index >= first && index < this.#promptTokenIds.length;
  }

  get wantsLogits(): boolean {
    return this.#numTop !== undefined;
  }

  /** The logits of the labels at the prompt's last token. @throws ADAPTER_INVALID when they are not numbers */
  classified(classes: ClassLogits): void {
    if (!classes.logits_C.every((logit) => Number.isFinite(logit))) {
      fail('ADAPTER_INVALID', 'the adapter made logits of its labels that are not numbers');
    }
    this.#classes ??= classes;
  }

  /** Those logits; undefined if they were not asked for. */
  get classes(): ClassLogits | undefined {
    assert(!this.#classifies || this.#classes, 'the last row of the prompt was computed');
    return this.#classes;
  }

  get wantsClasses(): boolean {
    return this.#classifies;
  }

  /**
   * @param index the row's token in the prompt; one that was added before changes nothing
   * @param normed_D its final hidden state, normalised
   * @param logits_V its logits, if they are wanted
   */
  add(index: number, normed_D: Floats, logits_V: Floats | undefined): void {
    if (index < this.#numRows) return;
    assert(index === this.#numRows, 'rows of a prompt are computed in order');
    this.#numRows++;
    if (this.#numTop !== undefined && this.#numRows < this.#promptTokenIds.length) {
      assert(logits_V, 'a row whose log-probabilities are wanted has logits');
      this.#logprobs.push(new LogprobRow(logits_V, this.#numTop).of(this.#promptTokenIds[this.#numRows]));
    }
    if (this.#pooling === 'last' || index === 0) this.#pooled_D = Float64Array.from(normed_D);
    else if (this.#pooling === 'mean') addTo(this.#pooled_D, normed_D);
  }

  /** One for each token of the prompt but the first; undefined if they were not asked for. @throws ADAPTER_INVALID */
  get logprobs(): readonly RankedLogprob[] | undefined {
    if (this.#numTop === undefined) return undefined;
    this.#assertWhole();
    if (this.#logprobs.some(({ logprob }) => Number.isNaN(logprob))) {
      fail('ADAPTER_INVALID', 'the adapter made logits of the prompt that are not numbers');
    }
    return this.#logprobs;
  }

  /** The pooled vector with length 1, [D] (the mean's divisor falls out of it); undefined if it was not asked for. */
  get embedding(): Float32Array | undefined {
    if (this.#pooling === undefined) return undefined;
    this.#assertWhole();
    let squares = 0;
    for (const value of this.#pooled_D) squares += value * value;
    const norm = Math.sqrt(squares);
    if (!Number.isFinite(norm)) fail('ADAPTER_INVALID', 'the adapter made a hidden state that is not of numbers');
    return Float32Array.from(this.#pooled_D, (value) => (norm === 0 ? 0 : value / norm));
  }

  #assertWhole(): void {
    assert(this.#numRows === this.#promptTokenIds.length, 'every row of the prompt was computed');
  }
}

/** A row of a step that a request wants more of. */
export interface PromptRow {
  readonly sequence: Sequence;
  readonly rows: PromptRows;
  /** Its place in the step. */
  readonly row: number;
  /** Its token in the prompt. */
  readonly index: number;
}

/**
 * Hands each wanted row of a step to its request.
 * @param hidden [T, D], the residual stream of the step's rows
 */
export function gatherPromptRows(
  g: Inference,
  base: BaseModel,
  hidden: Tensor,
  wanted: readonly PromptRow[],
  hooks: SiteHooks,
): void {
  const { vocabSize: V, hiddenSize: D } = base.config;
  for (const hasLogits of [false, true]) {
    const alike = wanted.filter(({ rows }) => rows.wantsLogits === hasLogits);
    for (let begin = 0; begin < alike.length; begin += ROWS_AT_ONCE) {
      const part = alike.slice(begin, begin + ROWS_AT_ONCE);
      const normed = headRows(
        g,
        base,
        hidden,
        Int32Array.from(part, ({ row }) => row),
        hooks,
      );
      const logits = hasLogits ? g.empty([part.length, V]) : undefined;
      if (logits) g.kernels.linearForward(logits.data, normed.data, base.head, part.length, false);
      for (const [n, { sequence, rows, index }] of part.entries()) {
        if (rows.wantsClasses) {
          rows.classified(classLogits(g, rowOf(normed, n, D), sequence));
          continue;
        }
        const [normed_D, logits_V] = [rowOf(normed, n, D), logits && rowOf(logits, n, V)];
        if (logits_V) replaceTokenLogits(g, logits_V, normed_D, sequence);
        rows.add(index, normed_D, logits_V);
      }
      g.release(normed);
      if (logits) g.release(logits);
    }
  }
}

function rowOf({ data }: Tensor, n: number, width: number): Floats {
  return data.subarray(n * width, (n + 1) * width);
}

function addTo(sum_D: Float64Array, row_D: Floats): void {
  for (let d = 0; d < sum_D.length; d++) sum_D[d] = sum_D[d] + row_D[d];
}
