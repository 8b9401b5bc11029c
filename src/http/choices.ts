import { assert } from '../base/index.ts';
import type { ChatDelta, ChatUsage, FinishReason } from './services.ts';
import type { Answer } from './wire/chat-response.ts';

/** What has arrived of the choices of one answer. Holds the engine's side to its contract. */
export class Choices {
  readonly #texts: string[];
  readonly #reasons: (FinishReason | undefined)[];
  #usage: ChatUsage = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };

  constructor(numChoices: number) {
    this.#texts = Array.from({ length: numChoices }, () => '');
    this.#reasons = Array.from({ length: numChoices }, () => undefined);
  }

  add({ index, text, finishReason, usage }: ChatDelta): void {
    assert(index >= 0 && index < this.#texts.length, `choice ${index} was asked for`);
    assert(this.#reasons[index] === undefined, `choice ${index} has not ended before`);
    this.#texts[index] += text;
    this.#reasons[index] = finishReason;
    if (!usage) return;
    this.#usage = { ...usage, completionTokens: this.#usage.completionTokens + usage.completionTokens };
  }

  /** Tokens of all choices; the prompt counts once. */
  get usage(): ChatUsage {
    return this.#usage;
  }

  /** The whole answers. Every choice has ended. */
  finish(): Answer[] {
    return this.#texts.map((text, index) => {
      const finishReason = this.#reasons[index];
      assert(finishReason, `choice ${index} has ended`);
      return { text, finishReason };
    });
  }
}
