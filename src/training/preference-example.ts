import type { PreferenceExample, RatedExample } from '../formats/index.ts';
import type { ChatMessage, ChatRenderer, RenderedExample } from '../text/index.ts';
import type { TokenExample } from './pack.ts';

const ONE_PROMPT =
  'all answers are to one prompt: kto measures how far the policy has moved by answers to others, and has to take this one’s';

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
 * Rated answers as examples of two sequences: the prompt with its answer, and with an answer that belongs to another prompt, whose probability says
 * how far the policy is from its reference (Ethayarajh et al., 2024). It is that of the nearest example before which has another prompt; the last ones
 * come before the first. A pair counts as a good answer and a bad one, beside those of the other pair.
 */
export function renderRated(
  examples: readonly (RatedExample | PreferenceExample)[],
  renderer: ChatRenderer,
): { readonly examples: TokenExample[]; readonly lines: number[]; readonly warnings: string[] } {
  const rated = examples.map(ratedAnswers);
  const prompts = examples.map(({ prompt }) => JSON.stringify(prompt));
  const others = nearestOthers(prompts);
  const isOnePrompt = prompts.every((prompt) => prompt === prompts[0]);
  return {
    examples: rated.flatMap((own, index) =>
      own.map(({ answer, ...one }, side) => {
        const other = rated[others[index]][side].answer;
        return renderAnswers({ ...one, answers: [answer, other] }, renderer);
      }),
    ),
    lines: rated.flatMap((own) => own.map(({ line }) => line)),
    warnings: isOnePrompt ? [ONE_PROMPT] : [],
  };
}

function ratedAnswers(example: RatedExample | PreferenceExample) {
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
}

/** For each place the nearest one before it that holds another value, around the end; the last one where all are the same. */
function nearestOthers(values: readonly string[]): number[] {
  const others: number[] = [];
  const beforeAll = values.findLastIndex((value) => value !== values[0]);
  for (const [index, value] of values.entries()) {
    if (index === 0) others.push(beforeAll < 0 ? values.length - 1 : beforeAll);
    else others.push(values[index - 1] === value ? others[index - 1] : index - 1);
  }
  return others;
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
