import { BASE_ADAPTER, type CompiledAdapter } from '../adapters/index.ts';
import type { Engine } from '../serving/index.ts';
import { GREEDY, type SamplingParams } from '../serving/index.ts';
import type { Tokenizer } from '../text/index.ts';

/** Enough that the scheduler can always fill a step. */
const MAX_QUEUED = 64;

/** A prompt to answer in batch. */
export interface Prompt {
  readonly tokenIds: Int32Array;
  readonly adapter?: CompiledAdapter;
}

export interface AnswerOptions {
  readonly maxTokens: number;
  readonly sampling?: SamplingParams;
  /** Says of an answer's beginning that its end does not matter: it is left there. */
  readonly isDecided?: (index: number, begun: string) => boolean;
  readonly onAnswer?: (numDone: number, total: number) => void;
}

/**
 * Answers many prompts on an engine of this thread, all in flight at once as far as its limits go, in the order in which
 * they were given.
 */
export function answerAll(
  engine: Engine,
  tokenizer: Tokenizer,
  prompts: readonly Prompt[],
  { maxTokens, sampling = GREEDY, isDecided, onAnswer }: AnswerOptions,
): string[] {
  const generated = prompts.map((): number[] => []);
  const textOf = (tokenIds: readonly number[]): string =>
    tokenizer.decode(Int32Array.from(tokenIds), { skipSpecial: true });
  let next = 0;
  let numDone = 0;
  while (numDone < prompts.length) {
    while (next < prompts.length && engine.numWaiting < MAX_QUEUED) {
      const { tokenIds, adapter = BASE_ADAPTER } = prompts[next];
      engine.submit(
        {
          id: String(next),
          promptTokenIds: tokenIds,
          adapter: null,
          maxTokens,
          stopTokenIds: tokenizer.eosIds,
          sampling,
        },
        adapter,
      );
      next++;
    }
    const { events, failures } = engine.step();
    for (const { error } of failures) throw error;
    for (const { id, tokenIds, finishReason } of events) {
      const index = Number(id);
      generated[index].push(...tokenIds);
      if (finishReason === null) {
        if (!isDecided?.(index, textOf(generated[index]))) continue;
        engine.cancel(id);
      }
      numDone++;
      onAnswer?.(numDone, prompts.length);
    }
  }
  return generated.map(textOf);
}
