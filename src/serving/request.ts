/** How the next token is chosen. */
export interface SamplingParams {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Nucleus: the smallest set of tokens whose probabilities sum to this (Holtzman et al., 2020). */
  readonly topP: number;
  readonly seed: number;
}

export const GREEDY: SamplingParams = { temperature: 0, topP: 1, seed: 0 };

/** A request as the engine sees it: token ids in, token ids out. */
export interface GenerateRequest {
  readonly id: string;
  readonly promptTokenIds: Int32Array;
  /** Digest of the adapter; null is the base. */
  readonly adapter: string | null;
  /** Null: until the context, or the cache where that is smaller, is full. */
  readonly maxTokens: number | null;
  /** Generation ends after one of these; the token itself is not reported. */
  readonly stopTokenIds: readonly number[];
  readonly sampling: SamplingParams;
  /** Whose request it is: no keys and values are shared between tenants, and service is shared fairly among them. Null: the operator's. */
  readonly tenant?: string | null | undefined;
  /** The tenant's part of the service, relative to the others'; 1 if absent. The latest request's counts. */
  readonly weight?: number | undefined;
  /** A whole number; higher goes first, among the requests of one tenant. 0 if absent. */
  readonly priority?: number | undefined;
  /** Milliseconds after its arrival by which it has begun, or fails with DEADLINE_EXCEEDED. */
  readonly deadlineMs?: number | undefined;
  /** Every row is computed, also those whose keys and values are in the cache: for who reads results of the prompt's rows. */
  readonly needsEveryRow?: boolean | undefined;
}

export type FinishReason = 'stop' | 'length';

/** What comes up from the engine, per request, in order. After one with `finishReason` or an error nothing follows. */
export interface TokenEvent {
  readonly id: string;
  readonly tokenIds: readonly number[];
  readonly finishReason: FinishReason | null;
  /** On a request's first event: how many of its prompt's tokens were in the cache. */
  readonly cachedTokens?: number | undefined;
}
