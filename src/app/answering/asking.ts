/** One request to a model: who asks, what answers, and what it has used. */
import { EspalierError, fail, newId } from '../../base/index.ts';
import type { AdapterMix, AdapterSource, EngineClient, GenerateRequest, TokenEvent } from '../../serving/index.ts';
import type { ChatRenderer } from '../../text/index.ts';

/** What answering needs: the engine for tokens, the renderer for text. */
export interface ChatEngine {
  readonly engine: EngineClient;
  readonly renderer: ChatRenderer;
  /** Of the base: ids that requests may name. */
  readonly vocabSize: number;
  /** Numbers of a token's hidden state. */
  readonly hiddenSize: number;
}

/** What a request has used so far; also right when the client leaves half way. */
export interface TokenMeter {
  promptTokens: number;
  /** Of the prompts' tokens, those that were in the cache when the first choice of each began. */
  cachedTokens: number;
  completionTokens: number;
}

export interface Asking {
  readonly tenant: string | null;
  /** Null is the base. */
  readonly adapter: AdapterSource | AdapterMix | null;
  readonly signal: AbortSignal;
  readonly meter: TokenMeter;
}

/** Sequences of one request that are with the engine at a time: the others wait here, so that no request fills the engine's queue. */
export const SEQUENCES_AT_ONCE = 16;

/**
 * The events of one sequence.
 * @param param the field that holds the prompt, for messages
 * @throws what the engine throws
 */
export async function* ask(
  { engine }: ChatEngine,
  { tenant, adapter, signal }: Asking,
  request: Omit<GenerateRequest, 'id' | 'adapter' | 'tenant'>,
  param: string,
): AsyncGenerator<TokenEvent, void, undefined> {
  const whole = { ...request, id: newId('req-'), adapter: adapter?.digest ?? null, tenant };
  try {
    yield* engine.submit(whole, adapter, signal);
  } catch (error) {
    // The engine knows no fields: it takes every prompt for a chat's messages.
    if (!(error instanceof EspalierError) || error.param !== 'messages') throw error;
    throw new EspalierError(error.code, error.message, { param, cause: error });
  }
}

/** @throws REQUEST_INVALID an id is none of the base's */
export function checkTokenIds(ids: Iterable<number>, vocabSize: number, param: string): void {
  for (const id of ids) {
    if (id < vocabSize) continue;
    fail('REQUEST_INVALID', `${param} names the token ${id}: this base has 0 to ${vocabSize - 1}`, { param });
  }
}
