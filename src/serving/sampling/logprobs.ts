import type { Floats } from '../../numeric/index.ts';
import type { RankedLogprob, TokenLogprob } from '../request.ts';

/**
 * Log-probabilities of a row of logits as the model gave it, without temperature, penalties and bias: log softmax in float64, with the
 * largest logit taken out first and the sum in order of ids.
 */
export class LogprobRow {
  readonly #logits_V: Floats;
  readonly #logSum: number;
  readonly #top: readonly TokenLogprob[];

  /** @param numTop the most probable tokens that are told with every token */
  constructor(logits_V: Floats, numTop: number) {
    this.#logits_V = logits_V;
    this.#logSum = logSumExp(logits_V);
    this.#top = largest(logits_V, numTop).map((id) => ({ id, logprob: this.#logprobOf(id) }));
  }

  /** Also right for a token that may come after others of the row have been forbidden in place. */
  of(id: number): RankedLogprob {
    return { id, logprob: this.#logprobOf(id), top: this.#top };
  }

  #logprobOf(id: number): number {
    return this.#logits_V[id] - this.#logSum;
  }
}

function logSumExp(logits_V: Floats): number {
  let max = -Infinity;
  for (const logit of logits_V) if (logit > max) max = logit;
  let sum = 0;
  for (const logit of logits_V) sum += Math.exp(logit - max);
  return max + Math.log(sum);
}

/** The ids of the `count` largest logits, the largest first; of equals the lower id first. `count` is small. */
function largest(logits_V: Floats, count: number): number[] {
  const ids: number[] = [];
  if (count === 0) return ids;
  for (let id = 0; id < logits_V.length; id++) {
    const isFull = ids.length === count;
    if (isFull && !(logits_V[id] > logits_V[ids[count - 1]])) continue;
    if (isFull) ids.pop();
    let place = ids.length;
    while (place > 0 && logits_V[id] > logits_V[ids[place - 1]]) place--;
    ids.splice(place, 0, id);
  }
  return ids;
}
