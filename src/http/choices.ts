import { assert } from '../base/index.ts';
import type { AnswerDelta, AnswerToken, FinishReason, ToolCallDelta, Usage } from './services.ts';
import type { WholeCall, WholeChoice } from './shape.ts';

/** What has arrived of the choices of one answer. Holds the engine's side to its contract. */
export class Choices {
  readonly #perPrompt: number;
  readonly #texts: string[];
  readonly #calls: WholeCall[][];
  readonly #tokens: (AnswerToken[] | undefined)[];
  readonly #reasons: (FinishReason | undefined)[];
  readonly #usages: (Usage | undefined)[];
  #queuedMs: number | undefined;
  #used: Usage | undefined;

  constructor(numPrompts: number, perPrompt: number) {
    const numChoices = numPrompts * perPrompt;
    this.#perPrompt = perPrompt;
    this.#texts = Array.from({ length: numChoices }, () => '');
    this.#calls = Array.from({ length: numChoices }, () => []);
    this.#tokens = Array.from({ length: numChoices }, () => undefined);
    this.#reasons = Array.from({ length: numChoices }, () => undefined);
    this.#usages = Array.from({ length: numChoices }, () => undefined);
  }

  add({ index, text, toolCalls = [], tokens, finishReason, usage, queuedMs }: AnswerDelta): void {
    assert(index >= 0 && index < this.#texts.length, `choice ${index} was asked for`);
    assert(this.#reasons[index] === undefined, `choice ${index} has not ended before`);
    this.#texts[index] += text;
    for (const call of toolCalls) addCall(this.#calls[index], call);
    if (tokens) (this.#tokens[index] ??= []).push(...tokens);
    this.#reasons[index] = finishReason;
    this.#usages[index] = usage;
    if (queuedMs !== undefined) this.#queuedMs = Math.max(this.#queuedMs ?? 0, queuedMs);
  }

  /** What was used in all, which of choices that broke off no delta tells. */
  use(usage: Usage): void {
    this.#used = usage;
  }

  /** What a line of the log tells of the answer, also of one that broke off: the longest wait of its choices, and how they ended. */
  get notes(): Readonly<Record<string, unknown>> {
    const reasons = [...new Set(this.#reasons)].map((reason) => reason ?? 'unfinished');
    const wait = this.#queuedMs === undefined ? {} : { queueSeconds: this.#queuedMs / 1000 };
    return { ...this.usage, ...this.#used, ...wait, finishReason: reasons.join(',') };
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
      return { text, toolCalls: this.#calls[index], tokens: this.#tokens[index], finishReason };
    });
  }
}

function addCall(calls: WholeCall[], { index, begin, argumentsText }: ToolCallDelta): void {
  if (begin) {
    assert(index === calls.length, `call ${index} comes after those before it`);
    calls.push({ ...begin, argumentsText });
    return;
  }
  const call = calls[index];
  assert(call && index === calls.length - 1, `call ${index} is the one that is being made`);
  calls[index] = { ...call, argumentsText: call.argumentsText + argumentsText };
}
