import type { Principal } from '../tenancy/index.ts';
import type { AdapterServices } from './adapter-services.ts';

/** What `model`, `metadata.task` and `X-Task` of a request say. */
export interface ModelSelection {
  /** `TENANT/TASK[@…]`, `sha256:…`, or the base's name. */
  readonly model: string;
  /** With the base's name: the task whose route picks the adapter. */
  readonly task: string | null;
}

/** What answers a request: the base, or exactly one adapter version on it. */
export interface ResolvedModel {
  /** Goes back as `model`: the base's name, or `TENANT/TASK@VERSION`. */
  readonly modelName: string;
  readonly base: { readonly name: string; readonly digest: string };
  /** Null is the base alone. */
  readonly adapter: { readonly digest: string; readonly reference: string } | null;
}

export type ChatRole = 'system' | 'user' | 'assistant';

export interface ChatMessage {
  readonly role: ChatRole;
  readonly content: string;
}

/** A chat request once it has been checked. Null: the request left it to the server. */
export interface ChatRequest {
  readonly messages: readonly ChatMessage[];
  /** At least 1; null: until the context is full. */
  readonly maxTokens: number | null;
  /** 0 to 2. */
  readonly temperature: number;
  /** 0 to 1. */
  readonly topP: number;
  readonly seed: number | null;
  /** At most 4 texts, none empty; the answer ends before the first that would appear. */
  readonly stop: readonly string[];
  /** Answers to the same messages. */
  readonly numChoices: number;
}

export type FinishReason = 'stop' | 'length';

export interface ChatUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Of the prompt's tokens, those taken from the cache. */
  readonly cachedTokens: number;
}

/**
 * A piece of one choice's answer. Every choice ends with one delta that has a `finishReason` and, when it is known, the choice's
 * `usage`; the prompt counts once, however many choices there are.
 */
export interface ChatDelta {
  /** The choice, from 0. */
  readonly index: number;
  /** May be empty. */
  readonly text: string;
  readonly finishReason?: FinishReason | undefined;
  readonly usage?: ChatUsage | undefined;
}

export interface ModelEntry {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly ownedBy: string;
  /** The base of an adapter. */
  readonly parent: string | null;
}

/** What the HTTP face needs from the other rooms. The app composes it; whatever these functions throw becomes an error response. */
export interface Services {
  /** Choices that one request may ask for. */
  readonly maxChoices: number;
  readonly adapters: AdapterServices;
  /** @throws KEY_INVALID */
  authenticate(key: string): Principal;
  /** Lets a request in; it is disposed of after the request's last byte. @throws OVERLOADED */
  admit(principal: Principal): Disposable;
  /** @throws MODEL_NOT_FOUND ADAPTER_NOT_FOUND also for what belongs to another tenant */
  resolveModel(principal: Principal, selection: ModelSelection): ResolvedModel | Promise<ResolvedModel>;
  /**
   * Answers. It stops work soon after `signal` fires or the consumer returns. Usage is recorded here, because only here is it known
   * when a client leaves half way.
   * @throws CONTEXT_TOO_LONG OVERLOADED ADAPTER_UNAVAILABLE CANCELLED before the first delta or between two
   */
  chat(principal: Principal, model: ResolvedModel, request: ChatRequest, signal: AbortSignal): AsyncIterable<ChatDelta>;
  listModels(principal: Principal): readonly ModelEntry[] | Promise<readonly ModelEntry[]>;
  /** @throws MODEL_NOT_FOUND ADAPTER_NOT_FOUND */
  showModel(principal: Principal, id: string): ModelEntry | Promise<ModelEntry>;
  /** The engine's series in Prometheus' text format. */
  metricsText(): string | Promise<string>;
  /** Whether requests can be answered now. */
  isReady(): boolean;
}
