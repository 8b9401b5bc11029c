/** How the next token is chosen. A field that is absent changes nothing. */
export interface SamplingParams {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Nucleus: the smallest set of tokens whose probabilities sum to this (Holtzman et al., 2020). */
  readonly topP: number;
  readonly seed: number;
  /** Only the so many most probable tokens (Fan et al., 2018); 0 is all of them. */
  readonly topK?: number | undefined;
  /** Only tokens with at least this part of the most probable one's probability (Nguyen et al., 2024). */
  readonly minP?: number | undefined;
  /** Added to the logits of these tokens. */
  readonly logitBias?: readonly (readonly [id: number, bias: number])[] | undefined;
  /** Taken from the logit of every token that the answer already has. */
  readonly presencePenalty?: number | undefined;
  /** Taken from a token's logit as often as the answer already has it. */
  readonly frequencyPenalty?: number | undefined;
  /** Divides the positive and multiplies the negative logits of tokens in prompt and answer (Keskar et al., 2019); 1 is none. */
  readonly repetitionPenalty?: number | undefined;
}

export const GREEDY: SamplingParams = { temperature: 0, topP: 1, seed: 0 };

/** How the vectors of a text's tokens become one: their mean, or the last one. */
export const POOLINGS = ['mean', 'last'] as const;
export type Pooling = (typeof POOLINGS)[number];

/** What an answer must follow. */
export interface AnswerGrammar {
  /** In the engine's form (grammar/engine-form.ts). */
  readonly definition: string;
  /** The request's field that says so, for messages. */
  readonly param: string;
}

/** A request as the engine sees it: token ids in, token ids out. */
export interface GenerateRequest {
  readonly id: string;
  readonly promptTokenIds: Int32Array;
  /** Digest of the adapter; null is the base. */
  readonly adapter: string | null;
  /**
   * Null: until the context, or the cache where that is smaller, is full. 0: nothing is generated, and the request ends when its prompt is
   * computed.
   */
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
  /** Milliseconds after its arrival by which its answer has begun, or it fails with DEADLINE_EXCEEDED. */
  readonly deadlineMs?: number | undefined;
  /** So many tokens come before any of `stopTokenIds` can. */
  readonly minTokens?: number | undefined;
  /** Log-probabilities of the answer's tokens (and of the prompt's), each with those of the `top` most probable tokens. */
  readonly logprobs?: { readonly top: number; readonly ofPrompt: boolean } | undefined;
  /** What the answer must follow; compiled before the engine gets the request. */
  readonly grammar?: AnswerGrammar | undefined;
  /** The prompt's final hidden states, as one vector of length 1. */
  readonly embedding?: Pooling | undefined;
  /** The logits of the adapter's labels, in place of an answer: `maxTokens` is 0, and the adapter is a classifier. */
  readonly classify?: true | undefined;
  /** What the answer may be: where it is right, the answer comes faster. It never changes the answer. */
  readonly predictionTokenIds?: Int32Array | undefined;
}

/** What a classifier's head says of a prompt. */
export interface ClassLogits {
  readonly labels: readonly string[];
  /** One for each label. */
  readonly logits_C: Float32Array;
}

export type FinishReason = 'stop' | 'length';

export interface TokenLogprob {
  readonly id: number;
  /** Natural logarithm; −Infinity for a token that cannot come. */
  readonly logprob: number;
}

/** A token and the most probable ones in its place, the most probable first; of equals the one with the lower id. */
export interface RankedLogprob extends TokenLogprob {
  readonly top: readonly TokenLogprob[];
}

/** What comes up from the engine, per request, in order. After one with `finishReason` or an error nothing follows. */
export interface TokenEvent {
  readonly id: string;
  readonly tokenIds: readonly number[];
  readonly finishReason: FinishReason | null;
  /** On a request's first event: how many of its prompt's tokens were in the cache. */
  readonly cachedTokens?: number | undefined;
  /** On a request's first event: how long it waited in the engine's queue. */
  readonly queuedMs?: number | undefined;
  /** One for each of `tokenIds`, if the request asked for them. */
  readonly logprobs?: readonly RankedLogprob[] | undefined;
  /** On a request's first event, if it asked for them: one for each token of the prompt but the first, which nothing precedes. */
  readonly promptLogprobs?: readonly RankedLogprob[] | undefined;
  /** If the request came with a prediction: how many of its tokens were tried so far, and right or wrong. */
  readonly prediction?: { readonly numRight: number; readonly numWrong: number } | undefined;
  /** With the event that ends the request, if it asked for them. */
  readonly classes?: ClassLogits | undefined;
  /** [D], with the event that ends the request, if it asked for it. */
  readonly embedding?: Float32Array | undefined;
}
