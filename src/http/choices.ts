import { assert } from '../base/index.ts';
import type { AnswerDelta, AnswerToken, FinishReason, Usage } from './services.ts';
import type { WholeChoice } from './shape.ts';

/** What has arrived of the choices of one answer. Holds the engine's side to its contract. */
export class Choices {
  readonly #perPrompt: number;
  readonly #texts: string[];
  readonly #tokens: (AnswerToken[] | undefined)[];
  readonly #reasons: (FinishReason | undefined)[];
  readonly #usages: (Usage | undefined)[];

  constructor(numPrompts: number, perPrompt: number) {
    const numChoices = numPrompts * perPrompt;
    this.#perPrompt = perPrompt;
    this.#texts = Array.from({ length: numChoices }, () => '');
    this.#tokens = Array.from({ length: numChoices }, () => undefined);
    this.#reasons = Array.from({ length: numChoices }, () => undefined);
    this.#usages = Array.from({ length: numChoices }, () => undefined);
  }

  add({ index, text, tokens, finishReason, usage }: AnswerDelta): void {
    assert(index >= 0 && index < this.#texts.length, `choice ${index} was asked for`);
    assert(this.#reasons[index] === undefined, `choice ${index} has not ended before`);
    this.#texts[index] += text;
    if (tokens) (this.#tokens[index] ??= []).push(...tokens);
    this.#reasons[index] = finishReason;
    this.#usages[index] = usage;
  }

  /** Tokens of all choices; each prompt counts once, as its first choice found it. */
  get usage(): Usage {
    const sum = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };
    let prediction: Usage['prediction'];
    for (const [index, usage] of this.#usages.entries()) {
      if (!usage) continue;
      sum.completionTokens += usage.completionTokens;
      if (usage.prediction) {
        const { numRight = 0, numWrong = 0 } = prediction ?? {};
        prediction = {
          numRight: numRight + usage.prediction.numRight,
          numWrong: numWrong + usage.prediction.numWrong,
        };
      }
      if (index % this.#perPrompt > 0) continue;
      sum.promptTokens += usage.promptTokens;
      sum.cachedTokens += usage.cachedTokens;
    }
    return { ...sum, ...(prediction && { prediction }) };
  }

  /** The whole answers. Every choice has ended. */
  finish(): WholeChoice[] {
    return this.#texts.map((text, index) => {
      const finishReason = this.#reasons[index];
      assert(finishReason, `choice ${index} has ended`);
      return { text, tokens: this.#tokens[index], finishReason };
    });
  }
}
