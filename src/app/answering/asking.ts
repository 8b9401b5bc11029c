/** One request to a model: who asks, what answers, and what it has used. */
import { EspalierError, fail, newId, type Clock } from '../../base/index.ts';
import type { Scheduling } from '../../http/index.ts';
import {
  checkLength,
  type AdapterMix,
  type AdapterSource,
  type EngineClient,
  type GenerateRequest,
  type TokenEvent,
} from '../../serving/index.ts';
import type { RateLimits, Reservation } from '../../tenancy/index.ts';
import type { ChatRenderer } from '../../text/index.ts';

/** What answering needs: the engine for tokens, the renderer for text. */
export interface ChatEngine {
  readonly engine: EngineClient;
  readonly renderer: ChatRenderer;
  /** Of the base: ids that requests may name. */
  readonly vocabSize: number;
  /** Numbers of a token's hidden state. */
  readonly hiddenSize: number;
  /** Tokens of one sequence, prompt, answer and virtual ones, that the server can hold. */
  readonly contextLength: number;
  /** A text of more bytes has more tokens than that, whatever they are. */
  readonly maxPromptBytes: number;
}

/** What a request has used so far; also right when the client leaves half way. */
export interface TokenMeter {
  promptTokens: number;
  /** Of the prompts' tokens, those that were in the cache when the first choice of each began. */
  cachedTokens: number;
  completionTokens: number;
}

const NOTHING: TokenMeter = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };

export interface AskingOptions {
  readonly tenant: string | null;
  /** Null is the base. */
  readonly adapter: AdapterSource | AdapterMix | null;
  readonly signal: AbortSignal;
  readonly scheduling: Scheduling;
  /** The tenant's part of the service. */
  readonly weight: number;
  readonly rates: RateLimits;
  readonly clock: Clock;
}

export class Asking implements Disposable {
  readonly tenant: string | null;
  readonly adapter: AdapterSource | AdapterMix | null;
  readonly signal: AbortSignal;
  readonly meter: TokenMeter = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };
  readonly #options: AskingOptions;
  readonly #record: (meter: Readonly<TokenMeter>) => void;
  readonly #sinceMs: number;
  #hasBegun = false;
  #reservation: Reservation | undefined;

  /** @param record told, once and at the end, of what was used */
  constructor(options: AskingOptions, record: (meter: Readonly<TokenMeter>) => void) {
    this.tenant = options.tenant;
    this.adapter = options.adapter;
    this.signal = options.signal;
    this.#options = options;
    this.#record = record;
    this.#sinceMs = options.clock.nowMs();
  }

  /** Tokens that the longest answer to a prompt can have. */
  roomFor({ contextLength }: Pick<ChatEngine, 'contextLength'>, promptTokens: number): number {
    return contextLength - this.numVirtual - promptTokens;
  }

  /** Virtual tokens of the adapter; a mix has none. */
  get numVirtual(): number {
    const { adapter } = this;
    return adapter && 'numVirtual' in adapter ? (adapter.numVirtual ?? 0) : 0;
  }

  /**
   * Takes the tokens that the request may use off its tenant's minute, before anything is computed. Where the request leaves the length of
   * its answers open, they get what a minute holds at most, divided evenly.
   * @param maxTokens of each answer; null: until the context is full
   * @param room tokens that the context has left for the longest answer
   * @returns `maxTokens`, or what takes its place
   * @throws OVERLOADED REQUEST_INVALID
   */
  reserve(promptTokens: number, numAnswers: number, maxTokens: number | null, room: number): number | null {
    const { rates } = this.#options;
    const largest = rates.largestReservation(this.tenant);
    let most = maxTokens;
    if (most === null && largest !== null) {
      most = Math.max(1, Math.min(room, Math.floor((largest - promptTokens) / numAnswers)));
    }
    this.#reservation = rates.reserve(this.tenant, promptTokens + numAnswers * (most ?? 0));
    // What the context leaves is the shorter of the two.
    return maxTokens === null && most === room ? null : most;
  }

  /** The part of the engine's request that is not about its text. */
  turn(): Pick<GenerateRequest, 'tenant' | 'weight' | 'priority' | 'deadlineMs'> {
    const { tenant, weight, scheduling, clock } = this.#options;
    const { priority, timeoutMs } = scheduling;
    const leftMs = timeoutMs === null ? undefined : Math.max(0, timeoutMs - (clock.nowMs() - this.#sinceMs));
    // Of a request that has begun, the sequences that come later wait for the earlier ones.
    return { tenant, weight, priority, ...(leftMs !== undefined && !this.#hasBegun && { deadlineMs: leftMs }) };
  }

  /** The first token is there. */
  begin(): void {
    this.#hasBegun = true;
  }

  [Symbol.dispose](): void {
    // What never began, because it was refused or came too late, has cost nothing.
    const used = this.#hasBegun ? this.meter : NOTHING;
    this.#reservation?.settle(used.promptTokens + used.completionTokens);
    this.#record(used);
  }
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
  asking: Asking,
  request: Omit<GenerateRequest, 'id' | 'adapter' | 'tenant'>,
  param: string,
): AsyncGenerator<TokenEvent, void, undefined> {
  const { adapter, signal } = asking;
  const whole = { ...request, ...asking.turn(), id: newId('req-'), adapter: adapter?.digest ?? null };
  try {
    for await (const event of engine.submit(whole, adapter, signal)) {
      asking.begin();
      yield event;
    }
  } catch (error) {
    // The engine knows no fields: it takes every prompt for a chat's messages.
    if (!(error instanceof EspalierError) || error.param !== 'messages') throw error;
    throw new EspalierError(error.code, error.message, { param, cause: error });
  }
}

/**
 * Refuses what cannot fit before its tokens are made: a text of megabytes would hold up everybody while they are.
 * @throws CONTEXT_TOO_LONG
 */
export function checkSize({ maxPromptBytes, contextLength }: ChatEngine, texts: Iterable<string>, param: string): void {
  let numBytes = 0;
  for (const text of texts) numBytes += Buffer.byteLength(text);
  if (numBytes <= maxPromptBytes) return;
  const most = `more than the ${contextLength} tokens of this server can spell`;
  throw new EspalierError('CONTEXT_TOO_LONG', `the prompt has ${numBytes} bytes, ${most}: shorten it`, { param });
}

/** A prompt as the engine gets it. */
export interface RenderedPrompt {
  readonly promptTokenIds: Int32Array;
  /** The field that holds it. */
  readonly param: string;
}

/**
 * Refuses a request of which one prompt cannot be answered, before any of them is begun.
 * @param maxTokens of each answer; null: as many as there is room for
 * @throws REQUEST_INVALID CONTEXT_TOO_LONG
 */
export function checkPrompts(
  { contextLength }: Pick<ChatEngine, 'contextLength'>,
  { numVirtual }: Asking,
  prompts: Iterable<RenderedPrompt>,
  maxTokens: number | null,
): void {
  for (const { promptTokenIds, param } of prompts) {
    checkLength({ promptTokens: promptTokenIds.length, numVirtual, maxTokens }, contextLength, param);
  }
}

/** @throws REQUEST_INVALID an id is none of the base's */
export function checkTokenIds(ids: Iterable<number>, vocabSize: number, param: string): void {
  for (const id of ids) {
    if (id < vocabSize) continue;
    fail('REQUEST_INVALID', `${param} names the token ${id}: this base has 0 to ${vocabSize - 1}`, { param });
  }
}
