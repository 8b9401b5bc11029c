import type { Tokenizer } from '../text/index.ts';
import type { LoadedExamples } from './example.ts';
import type { Sample } from './messages.ts';
import { lastAnswerStart } from './overlap.ts';
import type { TokenExample } from './pack.ts';
import type { TrainingRun } from './run.ts';

/** Enough to see what an answer is like; its end is rarely what matters. */
const MAX_SAMPLE_TOKENS = 64;

/** Asks the adapter the prompts of the first held-out examples, while it is trained. Changes nothing of the run. */
export class SampleTaker {
  readonly #run: TrainingRun;
  readonly #tokenizer: Tokenizer;
  readonly #examples: readonly TokenExample[];
  readonly #labels: readonly string[] | undefined;
  readonly #questions: readonly { readonly line: number; readonly prompt: Int32Array; readonly expected: string }[];

  constructor(run: TrainingRun, valid: LoadedExamples | undefined, tokenizer: Tokenizer, count: number) {
    this.#run = run;
    this.#tokenizer = tokenizer;
    this.#labels = valid?.labels;
    this.#examples = (valid?.examples ?? []).slice(0, count);
    this.#questions = this.#examples.map((example, index) => {
      const { label, tokenIds } = example;
      if (label !== undefined) {
        return { line: valid?.lines[index] ?? 0, prompt: tokenIds, expected: this.#labels?.[label] ?? '' };
      }
      const start = lastAnswerStart(example);
      const end = example.ends?.[0] ?? example.tokenIds.length;
      return {
        line: valid?.lines[index] ?? 0,
        prompt: example.tokenIds.subarray(0, start),
        expected: this.#text(example.tokenIds.subarray(start, end)),
      };
    });
  }

  get isWanted(): boolean {
    return this.#questions.length > 0;
  }

  take(step: number): Sample[] {
    const answers = this.#answers();
    return this.#questions.map(({ line, prompt, expected }, index) => ({
      step,
      line,
      prompt: this.#text(prompt),
      expected,
      generated: answers[index],
    }));
  }

  #answers(): string[] {
    const labels = this.#labels;
    if (labels) return this.#run.classify(this.#examples).map((label) => labels[label]);
    const answers = this.#run.sample(
      this.#questions.map(({ prompt }) => prompt),
      { maxTokens: MAX_SAMPLE_TOKENS, stopTokenIds: this.#tokenizer.eosIds },
    );
    return answers.map((tokenIds) => this.#text(Int32Array.from(tokenIds)));
  }

  #text(tokenIds: Int32Array): string {
    return this.#tokenizer.decode(tokenIds, { skipSpecial: true }).trim();
  }
}
