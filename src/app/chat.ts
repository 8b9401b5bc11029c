import { newId, Rng } from '../base/index.ts';
import type { ChatDelta, ChatRequest } from '../http/index.ts';
import type { AdapterSource, EngineClient } from '../serving/index.ts';
import { StopMatcher, StreamDetokenizer, type ChatRenderer } from '../text/index.ts';

/** What answering needs: the engine for tokens, the renderer for text. */
export interface ChatEngine {
  readonly engine: EngineClient;
  readonly renderer: ChatRenderer;
}

/** What a request has used so far; also right when the client leaves half way. */
export interface TokenMeter {
  promptTokens: number;
  /** Of the prompt's tokens, those that were in the cache when the first choice began. */
  cachedTokens: number;
  completionTokens: number;
}

/** Answers for every choice of a request, as text. Choices run at once and their deltas interleave. */
export async function* chatDeltas(
  { engine, renderer }: ChatEngine,
  tenant: string | null,
  adapter: AdapterSource | null,
  request: ChatRequest,
  signal: AbortSignal,
  meter: TokenMeter,
): AsyncGenerator<ChatDelta, void, undefined> {
  const promptTokenIds = renderer.renderPrompt(request.messages);
  meter.promptTokens = promptTokenIds.length;
  const seeds = Rng.fromSeed(request.seed ?? newSeed(), 'choices');
  const choices = Array.from({ length: request.numChoices }, (_, index) => {
    const seed = request.seed !== null && index === 0 ? request.seed : seeds.nextUint32();
    const sampling = { temperature: request.temperature, topP: request.topP, seed };
    const id = newId('req-');
    const { eosIds: stopTokenIds } = renderer.tokenizer;
    const { maxTokens } = request;
    const tokens = engine.submit(
      { id, promptTokenIds, adapter: adapter?.digest ?? null, maxTokens, stopTokenIds, sampling, tenant },
      adapter,
      signal,
    );
    return choiceDeltas(tokens, renderer, request.stop, index, meter);
  });
  yield* interleave(choices);
}

async function* choiceDeltas(
  events: ReturnType<EngineClient['submit']>,
  renderer: ChatRenderer,
  stops: readonly string[],
  index: number,
  meter: TokenMeter,
): AsyncGenerator<ChatDelta, void, undefined> {
  const detokenizer = new StreamDetokenizer(renderer.tokenizer, { skipSpecial: true });
  const matcher = new StopMatcher(stops);
  let completionTokens = 0;
  const usage = (): ChatDelta['usage'] => ({
    promptTokens: meter.promptTokens,
    completionTokens,
    cachedTokens: meter.cachedTokens,
  });
  for await (const { tokenIds, finishReason, cachedTokens } of events) {
    // The prompt counts once, as the first choice found it: the later ones find what the first has left.
    if (index === 0 && cachedTokens !== undefined) meter.cachedTokens = cachedTokens;
    completionTokens += tokenIds.length;
    meter.completionTokens += tokenIds.length;
    const piece = detokenizer.push(tokenIds) + (finishReason ? detokenizer.flush() : '');
    const { text, isStopped } = matcher.push(piece);
    if (isStopped) {
      // Leaving the loop cancels the rest of the sequence.
      yield { index, text, finishReason: 'stop', usage: usage() };
      return;
    }
    if (finishReason) {
      yield { index, text: text + matcher.flush(), finishReason, usage: usage() };
      return;
    }
    if (text !== '') yield { index, text };
  }
}

/** A seed for a request that gave none. */
function newSeed(): number {
  return Number.parseInt(Buffer.from(newId('')).toString('hex').slice(0, 12), 16);
}

/** Yields from all sources as they come; ends them all when one fails or the consumer leaves. */
async function* interleave<T>(
  sources: readonly AsyncGenerator<T, void, undefined>[],
): AsyncGenerator<T, void, undefined> {
  const advance = async (source: AsyncGenerator<T, void, undefined>) => ({ source, result: await source.next() });
  const pending = new Map(sources.map((source) => [source, advance(source)]));
  try {
    while (pending.size > 0) {
      const { source, result } = await Promise.race(pending.values());
      if (result.done) {
        pending.delete(source);
        continue;
      }
      pending.set(source, advance(source));
      yield result.value;
    }
  } finally {
    const settled = [...pending.values()];
    await Promise.allSettled([...sources.map((source) => source.return()), ...settled]);
  }
}
