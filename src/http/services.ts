import type { Canary, CanaryArm } from '../delivery/index.ts';
import type { Classes } from '../registry/index.ts';
import type { Principal, RateState } from '../tenancy/index.ts';
import type { AdapterServices } from './adapter-services.ts';
import type { DeliveryServices } from './delivery-services.ts';
import type { AuditServices, KeyServices, UsageServices } from './governance-services.ts';
import type { CatalogueServices } from './catalogue-services.ts';
import type { ChatRequest, ClassifyRequest, EmbeddingRequest, TextRequest } from './requests.ts';
import type { TaskServices } from './task-services.ts';
import type { DataServices, FileServices, JobServices } from './tuning-services.ts';
import type { TenantServices } from './tenant-services.ts';

/** An adapter of a mix, as a request names it. */
export interface MixEntry {
  /** As {@link ModelSelection.model} names adapters. */
  readonly id: string;
  /** Finite; multiplies the adapter's change. */
  readonly weight: number;
}

/** What `model`, `metadata.task`, `X-Task` and `adapters` of a request say. */
export interface ModelSelection {
  /** `TENANT/TASK[@…]`, `sha256:…`, or the base's name. */
  readonly model: string;
  /** With the base's name: the task whose route picks the adapter. */
  readonly task: string | null;
  /** With a task: whose requests stay with one version when the task is split; absent: the key's. */
  readonly session?: string | undefined;
  /** With the base's name: adapters to add up; absent: none were named. */
  readonly adapters?: readonly MixEntry[] | undefined;
}

/** An adapter version that takes part in an answer. */
export interface ResolvedPart {
  readonly digest: string;
  readonly reference: string;
  readonly weight: number;
}

/** What answers a request: the base, exactly one adapter version on it, or a mix of several. */
export interface ResolvedModel {
  /** Goes back as `model`: the base's name, `TENANT/TASK@VERSION`, or versions and weights as in `a/b@1*0.5+a/c@2*0.5`. */
  readonly modelName: string;
  readonly base: { readonly name: string; readonly digest: string };
  /** Null is the base alone. Of a mix the digest is over its parts and weights. */
  readonly adapter: { readonly digest: string; readonly reference: string } | null;
  /** The adapters of a mix; absent: there is none. */
  readonly mix?: readonly ResolvedPart[] | undefined;
  /** Of a request that named a task; it goes back with the model when the answer is asked. */
  readonly routed?: RoutedRequest | undefined;
}

/** Of a request that named a task: how it came to its version. */
export interface RoutedRequest {
  readonly tenant: string;
  readonly task: string;
  readonly requestId: string;
  /** On which side of the task's canary it is; null: there is none. */
  readonly trial: { readonly canary: Canary; readonly arm: CanaryArm } | null;
}

export interface Embeddings {
  /** One for each input, of length 1. */
  readonly vectors: readonly Float32Array[];
  readonly promptTokens: number;
}

export interface Classification {
  /** The most probable label. */
  readonly label: string;
  /** Of every label, in the order of the adapter's. */
  readonly probs: readonly number[];
}

export interface Classifications {
  /** One for each input. */
  readonly found: readonly Classification[];
  readonly promptTokens: number;
}

/** `tool_calls`: an answer of a chat that calls tools and was not cut off. */
export type FinishReason = 'stop' | 'length' | 'tool_calls';

/** A piece of a tool call: the first of a call has its id and name, all have a part of its arguments, possibly empty. */
export interface ToolCallDelta {
  /** The call, from 0, in its choice. */
  readonly index: number;
  readonly begin?: { readonly id: string; readonly name: string } | undefined;
  readonly argumentsText: string;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Of the prompt's tokens, those taken from the cache. */
  readonly cachedTokens: number;
  /** Tokens of the request's prediction that were tried in the answer's place: right ones and wrong ones. */
  readonly prediction?: { readonly numRight: number; readonly numWrong: number } | undefined;
}

/** A token as its bytes, which may be a part of a character. */
export interface TokenLogprob {
  readonly bytes: Uint8Array;
  /** Natural logarithm. */
  readonly logprob: number;
}

/** A token of an answer (or of an echoed prompt) with the most probable ones in its place. */
export interface AnswerToken {
  readonly bytes: Uint8Array;
  /** Null for the first token of a prompt, which nothing precedes. */
  readonly logprob: number | null;
  /** The most probable first. */
  readonly top: readonly TokenLogprob[];
  /** Where its text begins in the choice's text, in UTF-16 units. */
  readonly offset: number;
}

/**
 * A piece of one choice's answer. Every choice ends with one delta that has a `finishReason` and the choice's `usage`, whose prompt
 * is the same for all choices of a prompt.
 */
export interface AnswerDelta {
  /** The choice, from 0. */
  readonly index: number;
  /** May be empty. */
  readonly text: string;
  readonly toolCalls?: readonly ToolCallDelta[] | undefined;
  /** The tokens whose text is out with this delta, if the request asked for log-probabilities. */
  readonly tokens?: readonly AnswerToken[] | undefined;
  readonly finishReason?: FinishReason | undefined;
  readonly usage?: Usage | undefined;
  /** With `finishReason`: how long the choice waited in the engine's queue. */
  readonly queuedMs?: number | undefined;
}

export interface ModelEntry {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly ownedBy: string;
  /** The base of an adapter. */
  readonly parent: string | null;
  /** Of a classifier. */
  readonly classes: Classes | null;
}

/** What the HTTP face needs from the other rooms. The app composes it; whatever these functions throw becomes an error response. */
export interface Services {
  /** Choices that one prompt may ask for. */
  readonly maxChoices: number;
  readonly adapters: AdapterServices;
  readonly catalogue: CatalogueServices;
  readonly data: DataServices;
  readonly files: FileServices;
  readonly jobs: JobServices;
  readonly tasks: TaskServices;
  readonly delivery: DeliveryServices;
  readonly tenants: TenantServices;
  readonly keys: KeyServices;
  readonly audit: AuditServices;
  readonly usage: UsageServices;
  /** @throws KEY_INVALID */
  authenticate(key: string): Principal;
  /** Lets a request in; it is disposed of after the request's last byte. @throws OVERLOADED too many at once, or per minute */
  admit(principal: Principal): Disposable;
  /** What is left of the key's tenant's minute; null: it has no limits. */
  rates(principal: Principal): RateState | null;
  /** @throws MODEL_NOT_FOUND ADAPTER_NOT_FOUND also for what belongs to another tenant */
  resolveModel(
    principal: Principal,
    selection: ModelSelection,
    requestId: string,
  ): ResolvedModel | Promise<ResolvedModel>;
  /**
   * Answers. It stops work soon after `signal` fires or the consumer returns. Usage is recorded here, because only here is it known
   * when a client leaves half way.
   * @throws REQUEST_INVALID CONTEXT_TOO_LONG OVERLOADED ADAPTER_UNAVAILABLE CANCELLED before the first delta or between two
   */
  chat(
    principal: Principal,
    model: ResolvedModel,
    request: ChatRequest,
    signal: AbortSignal,
    onUsed: (usage: Usage) => void,
  ): AsyncIterable<AnswerDelta>;
  /** Continues texts; as {@link Services.chat}. */
  complete(
    principal: Principal,
    model: ResolvedModel,
    request: TextRequest,
    signal: AbortSignal,
    onUsed: (usage: Usage) => void,
  ): AsyncIterable<AnswerDelta>;
  /** @throws REQUEST_INVALID CONTEXT_TOO_LONG OVERLOADED ADAPTER_UNAVAILABLE CANCELLED */
  embed(
    principal: Principal,
    model: ResolvedModel,
    request: EmbeddingRequest,
    signal: AbortSignal,
    onUsed: (usage: Usage) => void,
  ): Promise<Embeddings>;
  /** As {@link Services.embed}; REQUEST_INVALID also for an adapter without a classification head. */
  classify(
    principal: Principal,
    model: ResolvedModel,
    request: ClassifyRequest,
    signal: AbortSignal,
    onUsed: (usage: Usage) => void,
  ): Promise<Classifications>;
  listModels(principal: Principal): readonly ModelEntry[] | Promise<readonly ModelEntry[]>;
  /** @throws MODEL_NOT_FOUND ADAPTER_NOT_FOUND */
  showModel(principal: Principal, id: string): ModelEntry | Promise<ModelEntry>;
  /** The engine's series in Prometheus' text format. */
  metricsText(): string | Promise<string>;
  /** Each base, and whether requests to it can be answered now. */
  bases(): readonly { readonly name: string; readonly isReady: boolean }[];
}
