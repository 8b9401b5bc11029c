import type { PreferenceExample, RatedExample } from '../formats/index.ts';
import type { ChatMessage, ChatRenderer, RenderedExample } from '../text/index.ts';
import type { TokenExample } from './pack.ts';

/** A prompt with two answers to it, as messages. */
interface AnsweredPrompt {
  readonly line: number;
  readonly prompt: readonly ChatMessage[];
  readonly answers: readonly [ChatMessage, ChatMessage];
  readonly tools?: PreferenceExample['tools'];
  readonly isDesirable?: boolean;
}

/** Pairs as examples of two sequences: the prompt with the chosen answer, and with the rejected one. */
export function renderPairs(examples: readonly PreferenceExample[], renderer: ChatRenderer): TokenExample[] {
  return examples.map((example) => {
    const answers = [asAnswer(example.chosen), asAnswer(example.rejected)] as const;
    return renderAnswers({ ...example, prompt: asPrompt(example.prompt), answers }, renderer);
  });
}

/**
 * Rated answers as examples of two sequences: the prompt with its answer, and with the answer of the example before (the last one's for
 * the first), whose probability says how far the policy is from its reference. A pair counts as a good answer and a bad one.
 */
export function renderRated(
  examples: readonly (RatedExample | PreferenceExample)[],
  renderer: ChatRenderer,
): { readonly examples: TokenExample[]; readonly lines: number[] } {
  const rated = examples.flatMap((example) => {
    const { line } = example;
    const prompt = asPrompt(example.prompt);
    if ('completion' in example) {
      return [{ line, prompt, answer: asAnswer(example.completion), isDesirable: example.isDesirable }];
    }
    const tools = example.tools && { tools: example.tools };
    return [
      { line, prompt, ...tools, answer: asAnswer(example.chosen), isDesirable: true },
      { line, prompt, ...tools, answer: asAnswer(example.rejected), isDesirable: false },
    ];
  });
  return {
    examples: rated.map(({ answer, ...one }, index) => {
      const other = rated.at(index - 1)?.answer ?? answer;
      return renderAnswers({ ...one, answers: [answer, other] }, renderer);
    }),
    lines: rated.map(({ line }) => line),
  };
}

function asPrompt(prompt: string | readonly ChatMessage[]): readonly ChatMessage[] {
  return typeof prompt === 'string' ? [{ role: 'user', content: prompt }] : prompt;
}

function asAnswer(answer: string | ChatMessage): ChatMessage {
  return typeof answer === 'string' ? { role: 'assistant', content: answer } : answer;
}

function renderAnswers({ line, prompt, answers, tools, isDesirable }: AnsweredPrompt, renderer: ChatRenderer) {
  // Only the answer counts: earlier turns of the assistant are part of the prompt.
  const given = prompt.map((message) => (message.role === 'assistant' ? { ...message, weight: 0 as const } : message));
  const sequences = answers.map((answer) =>
    renderer.renderExample({ line, messages: [...given, { ...answer, weight: 1 }], ...(tools && { tools }) }),
  );
  return { ...layEndToEnd(sequences), ...(isDesirable !== undefined && { isDesirable }) };
}

function layEndToEnd(sequences: readonly RenderedExample[]): TokenExample {
  const ends: number[] = [];
  for (const { tokenIds } of sequences) ends.push((ends.at(-1) ?? 0) + tokenIds.length);
  const tokenIds = new Int32Array(ends.at(-1) ?? 0);
  const lossWeights = new Float32Array(tokenIds.length);
  for (const [index, sequence] of sequences.entries()) {
    const start = index === 0 ? 0 : ends[index - 1];
    tokenIds.set(sequence.tokenIds, start);
    lossWeights.set(sequence.lossWeights, start);
  }
  return { tokenIds, lossWeights, ends };
}
