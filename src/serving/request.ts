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
  readonly maxTokens: number;
  /** Generation ends after one of these; the token itself is not reported. */
  readonly stopTokenIds: readonly number[];
  readonly sampling: SamplingParams;
}

export type FinishReason = 'stop' | 'length';

/** What comes up from the engine, per request, in order. After one with `finishReason` or an error nothing follows. */
export interface TokenEvent {
  readonly id: string;
  readonly tokenIds: readonly number[];
  readonly finishReason: FinishReason | null;
}
