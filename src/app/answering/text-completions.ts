import type { AnswerDelta, AnswerToken, TextInput, TextRequest } from '../../http/index.ts';
import type { ChatRenderer } from '../../text/index.ts';
import { checkPrompts, checkSize, checkTokenIds, SEQUENCES_AT_ONCE, type Asking, type ChatEngine } from './asking.ts';
import { checkOptions, choiceDeltas, choiceSeeds, type Choice, type Echo } from './choice.ts';
import { interleave } from './interleave.ts';

type Deltas = AsyncGenerator<AnswerDelta, void, undefined>;

/**
 * Continues texts. Choice j of prompt i has the index i · n + j; its answer is the one that the prompt gets alone.
 * @throws REQUEST_INVALID CONTEXT_TOO_LONG
 */
export async function* textDeltas(service: ChatEngine, asking: Asking, request: TextRequest): Deltas {
  const { prompts, numChoices, bestOf, maxTokens, echo, seed } = request;
  checkOptions(request, service.vocabSize);
  const seeds = choiceSeeds(seed, bestOf);
  const rendered = prompts.map((prompt, index) => {
    const param = prompts.length === 1 ? 'prompt' : `prompt[${index}]`;
    return { prompt, param, promptTokenIds: tokensOf(service, prompt, param) };
  });
  checkPrompts(service, asking, rendered, maxTokens);
  for (const { promptTokenIds } of rendered) asking.meter.promptTokens += promptTokenIds.length;
  const { contextLength } = service;
  asking.reserve(asking.meter.promptTokens, prompts.length * bestOf, maxTokens, contextLength);
  const sources = rendered.flatMap(({ prompt, param, promptTokenIds }, promptIndex) => {
    const choiceOf = (number: number): Choice => ({
      index: promptIndex * numChoices + number,
      number,
      promptTokenIds,
      maxTokens,
      seed: seeds[number],
      options: request,
      echo: echo ? echoOf(service.renderer, prompt) : null,
      param,
    });
    const choices = seeds.map((_, number) => choiceOf(number));
    if (bestOf > numChoices) return [bestDeltas(service, asking, choices, numChoices)];
    return choices.map((choice) => choiceDeltas(service, asking, choice));
  });
  yield* interleave(sources, SEQUENCES_AT_ONCE);
}

/** The token ids of a text or of a list of ids. @throws REQUEST_INVALID CONTEXT_TOO_LONG */
export function tokensOf(service: ChatEngine, input: TextInput, param: string): Int32Array {
  const { renderer, vocabSize } = service;
  if (typeof input === 'string') {
    checkSize(service, [input], param);
    return renderer.renderText(input);
  }
  checkTokenIds(input, vocabSize, param);
  return Int32Array.from(input);
}

/** A text comes back as it was sent; of ids nothing is left out. */
function echoOf({ tokenizer }: ChatRenderer, prompt: TextInput): Echo {
  if (typeof prompt === 'string') return { text: prompt, skipSpecial: true };
  return { text: tokenizer.decode(prompt, { skipSpecial: false }), skipSpecial: false };
}

/** What has come of one candidate. */
interface Candidate {
  readonly deltas: AnswerDelta[];
  logprobSum: number;
  numTokens: number;
}

/** Makes all of these answers to one prompt and gives the `count` with the highest log-probability per token, the best first. */
async function* bestDeltas(service: ChatEngine, asking: Asking, choices: readonly Choice[], count: number): Deltas {
  const withTokens = choices[0].options.topLogprobs !== null;
  const first = choices[0].index;
  const candidates = choices.map((): Candidate => ({ deltas: [], logprobSum: 0, numTokens: 0 }));
  const sources = choices.map((choice) => {
    const options = { ...choice.options, topLogprobs: choice.options.topLogprobs ?? 0 };
    return choiceDeltas(service, asking, { ...choice, options });
  });
  for await (const delta of interleave(sources, SEQUENCES_AT_ONCE)) {
    const candidate = candidates[delta.index - first];
    const isEcho = choices[0].echo !== null && candidate.deltas.length === 0;
    if (!isEcho) addScore(candidate, delta.tokens ?? []);
    candidate.deltas.push(delta);
  }
  const ranked = candidates.toSorted((a, b) => scoreOf(b) - scoreOf(a));
  // The tokens of the others were made too, and are counted with the best one's.
  const numUnseen = ranked.slice(count).reduce((sum, { deltas }) => sum + completionTokensOf(deltas), 0);
  // The prompt counts as the first candidate found it: the later ones find what it has left.
  const cachedTokens = candidates[0].deltas.at(-1)?.usage?.cachedTokens ?? 0;
  for (const [rank, { deltas }] of ranked.slice(0, count).entries()) {
    for (const { tokens, usage, ...delta } of deltas) {
      const ofAll = rank === 0 && usage && { completionTokens: usage.completionTokens + numUnseen, cachedTokens };
      const counted = usage && { ...usage, ...ofAll };
      yield { ...delta, index: first + rank, ...(withTokens && { tokens }), ...(counted && { usage: counted }) };
    }
  }
}

function addScore(candidate: Candidate, tokens: readonly AnswerToken[]): void {
  for (const { logprob } of tokens) candidate.logprobSum += logprob ?? 0;
  candidate.numTokens += tokens.length;
}

/** The mean log-probability; an answer without tokens comes last. */
function scoreOf({ logprobSum, numTokens }: Candidate): number {
  return numTokens === 0 ? -Number.MAX_VALUE : logprobSum / numTokens;
}

function completionTokensOf(deltas: readonly AnswerDelta[]): number {
  return deltas.at(-1)?.usage?.completionTokens ?? 0;
}
