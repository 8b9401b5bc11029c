import { assert } from '../../base/index.ts';
import { lookUp } from './lookup.ts';

/** Stands before an answer's first token and before a predicted text's. */
const BEGIN = -1;
/** Steps without drafts after one of which nothing was right: at first, and at most. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [1, 32];

/** A guess of a sequence's next tokens. */
export interface Draft {
  readonly tokenIds: readonly number[];
  /** From the text that the request predicts; else from the sequence's own tokens. */
  readonly isPredicted: boolean;
}

export const NO_DRAFT: Draft = { tokenIds: [], isPredicted: false };

/**
 * What one sequence guesses, and how much. A draft of which every token was right makes the next one twice as long, any other one no longer than what
 * was right of it; after one of which nothing was right there is a pause, twice as long each time. Only how fast an answer comes depends on
 * this: every token is still the one that would have been chosen.
 */
export class Drafts {
  readonly #prediction: readonly number[];
  #length: number;
  readonly #longest: number;
  #pause = FIRST_PAUSE;
  #numToPause = 0;
  /** Of the request's prediction: guesses that were right, and that were not. */
  numPredictedRight = 0;
  numPredictedWrong = 0;

  /**
   * @param longest tokens of a draft
   * @param prediction what the request takes for its answer
   */
  constructor(longest: number, prediction: Iterable<number> = []) {
    assert(longest > 0, 'a draft may have a token');
    this.#longest = longest;
    this.#length = Math.max(1, longest >> 1);
    this.#prediction = [BEGIN, ...prediction];
  }

  /**
   * Guesses what comes after the sequence's tokens. Asked at most once a step.
   * @param numPrompt of the tokens, those of the prompt
   */
  propose(tokenIds: readonly number[], numPrompt: number, most: number): Draft {
    if (this.#numToPause > 0) {
      this.#numToPause--;
      return NO_DRAFT;
    }
    const numWanted = Math.min(most, this.#length);
    if (numWanted <= 0) return NO_DRAFT;
    const predicted = this.#fromPrediction(tokenIds, numPrompt, numWanted);
    if (predicted) return { tokenIds: predicted, isPredicted: true };
    return { tokenIds: lookUp(tokenIds, tokenIds, numWanted) ?? [], isPredicted: false };
  }

  /** Says how many of a draft's first tokens were right. */
  judge({ tokenIds, isPredicted }: Draft, numRight: number): void {
    if (isPredicted) {
      this.numPredictedRight += numRight;
      this.numPredictedWrong += tokenIds.length - numRight;
    }
    if (numRight === 0) {
      this.#numToPause = this.#pause;
      this.#pause = Math.min(LONGEST_PAUSE, 2 * this.#pause);
      this.#length = 1;
      return;
    }
    this.#pause = FIRST_PAUSE;
    this.#length = Math.min(
      this.#longest,
      numRight === tokenIds.length ? 2 * Math.max(this.#length, numRight) : numRight,
    );
  }

  #fromPrediction(tokenIds: readonly number[], numPrompt: number, most: number): readonly number[] | undefined {
    if (this.#prediction.length === 1) return undefined;
    if (tokenIds.length === numPrompt) return this.#prediction.slice(1, 1 + most);
    return lookUp([BEGIN, ...tokenIds.slice(numPrompt)], this.#prediction, most);
  }
}
