import { newId, Rng } from '../../base/index.ts';
import type { AnswerDelta, AnswerToken, GenerationOptions, ToolCallDelta } from '../../http/index.ts';
import type { AnswerGrammar, GenerateRequest, SamplingParams } from '../../serving/index.ts';
import { ToolCallParser, type CallPart, type ToolSyntax } from '../../text/index.ts';
import { AnswerText, promptTokens } from './answer-text.ts';
import { ask, checkTokenIds, type Asking, type ChatEngine } from './asking.ts';

/** A prompt that stands before its answers. */
export interface Echo {
  readonly text: string;
  /** Control tokens of the prompt have no part in `text`. */
  readonly skipSpecial: boolean;
}

export interface CallsOfChoice {
  readonly syntax: ToolSyntax;
  readonly names: readonly string[];
  readonly onlyCalls: boolean;
}

/** One answer to one prompt. */
export interface Choice {
  /** Among all choices of the request. */
  readonly index: number;
  /** Among those of its prompt. */
  readonly number: number;
  readonly promptTokenIds: Int32Array;
  /** Null: until the context is full. */
  readonly maxTokens: number | null;
  readonly seed: number;
  readonly options: GenerationOptions;
  readonly grammar?: AnswerGrammar | undefined;
  /** How tools are called, and their names; null: the answer is text. */
  readonly calls?: CallsOfChoice | null;
  /** What the answer may be. */
  readonly prediction?: Iterable<number> | undefined;
  readonly echo: Echo | null;
  /** The field that holds the prompt. */
  readonly param: string;
}

/** Seeds for the choices of each prompt: the same for every prompt, and the first is the request's own. */
export function choiceSeeds(seed: number | null, count: number): number[] {
  const rng = Rng.fromSeed(seed ?? newSeed(), 'choices');
  return Array.from({ length: count }, (_, n) => (seed !== null && n === 0 ? seed : rng.nextUint32()));
}

/** @throws REQUEST_INVALID ids that the base does not have */
export function checkOptions({ logitBias, stopTokenIds }: GenerationOptions, vocabSize: number): void {
  checkTokenIds(
    logitBias.map(([id]) => id),
    vocabSize,
    'logit_bias',
  );
  checkTokenIds(stopTokenIds, vocabSize, 'stop_token_ids');
}

/** The deltas of one choice, the last with its usage. */
export async function* choiceDeltas(
  service: ChatEngine,
  asking: Asking,
  choice: Choice,
): AsyncGenerator<AnswerDelta, void, undefined> {
  const { index, number, echo, promptTokenIds, options } = choice;
  const { tokenizer } = service.renderer;
  const { meter } = asking;
  const withTokens = options.topLogprobs !== null;
  const told = (tokens: readonly AnswerToken[]): Pick<AnswerDelta, 'tokens'> => (withTokens ? { tokens } : {});
  const { calls: expected } = choice;
  const parser = expected ? new ToolCallParser(expected.syntax, expected.names, expected) : undefined;
  const answer = new AnswerText(tokenizer, options.stop, echo?.text.length ?? 0, parser);
  let completionTokens = 0;
  let cachedTokens = 0;
  let isFirst = true;
  let queuedMs: number | undefined;
  for await (const event of ask(service, asking, engineRequest(service, choice), choice.param)) {
    const { tokenIds, logprobs, finishReason } = event;
    if (isFirst) {
      isFirst = false;
      cachedTokens = event.cachedTokens ?? 0;
      queuedMs = event.queuedMs;
      // A prompt counts once, as its first choice found it: the later ones find what the first has left.
      if (number === 0) meter.cachedTokens += cachedTokens;
      if (echo) {
        const tokens = withTokens ? promptTokens(tokenizer, promptTokenIds, event.promptLogprobs ?? [], echo) : [];
        yield { index, text: echo.text, ...told(tokens) };
      }
    }
    const { text, calls, tokens, numTokens, isStopped } = answer.push(tokenIds, logprobs, finishReason !== null);
    completionTokens += numTokens;
    meter.completionTokens += numTokens;
    const toolCalls = calls.length > 0 ? { toolCalls: calls.map(callDelta) } : {};
    const reason = isStopped ? 'stop' : finishReason;
    if (reason !== null) {
      const usage = {
        promptTokens: promptTokenIds.length,
        completionTokens,
        cachedTokens,
        ...(event.prediction && { prediction: event.prediction }),
      };
      const ended = reason === 'stop' && parser?.endsInCalls ? 'tool_calls' : reason;
      yield { index, text, ...toolCalls, ...told(tokens), finishReason: ended, usage, queuedMs };
      // Leaving the loop cancels the rest of the sequence.
      return;
    }
    if (text !== '' || calls.length > 0 || tokens.length > 0) yield { index, text, ...toolCalls, ...told(tokens) };
  }
}

function callDelta({ index, name, argumentsText }: CallPart): ToolCallDelta {
  return { index, ...(name !== undefined && { begin: { id: newId('call_'), name } }), argumentsText };
}

function engineRequest(
  { renderer }: ChatEngine,
  { promptTokenIds, maxTokens, seed, options, grammar, prediction, echo }: Choice,
): Omit<GenerateRequest, 'id' | 'adapter' | 'tenant'> {
  const { ignoreEos, stopTokenIds, minTokens, topLogprobs } = options;
  const ofPrompt = echo !== null && topLogprobs !== null;
  return {
    promptTokenIds,
    maxTokens,
    minTokens,
    stopTokenIds: [...new Set([...(ignoreEos ? [] : renderer.tokenizer.eosIds), ...stopTokenIds])],
    sampling: samplingOf(options, seed),
    ...(grammar && { grammar }),
    ...(prediction && { predictionTokenIds: Int32Array.from(prediction) }),
    ...(topLogprobs !== null && { logprobs: { top: topLogprobs, ofPrompt } }),
  };
}

function samplingOf(options: GenerationOptions, seed: number): SamplingParams {
  const { temperature, topP, topK, minP, logitBias, presencePenalty, frequencyPenalty, repetitionPenalty } = options;
  return {
    temperature,
    topP,
    topK,
    minP,
    logitBias,
    presencePenalty,
    frequencyPenalty,
    repetitionPenalty,
    seed,
  };
}

/** A seed for a request that gave none. */
function newSeed(): number {
  return Number.parseInt(Buffer.from(newId('')).toString('hex').slice(0, 12), 16);
}
