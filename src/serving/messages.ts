import type { CompiledAdapter, MixPart } from '../adapters/index.ts';
import type { RemoteError } from '../base/index.ts';
import type { PeftFiles } from '../formats/index.ts';
import type { OpenBaseOptions } from '../model/index.ts';
import type { TokenBytes } from '../numeric/index.ts';
import type { EngineOptions } from './engine.ts';
import type { PolicyName } from './residency/eviction-policy.ts';
import type { GenerateRequest, TokenEvent } from './request.ts';
import type { SlotState } from './residency/slot.ts';

/**
 * Everything that crosses a port: between the main thread and the engine's, and between the engine's and the loader's. Requests go
 * down, events and answers come up; nothing is shared, memory moves with its message.
 */
export interface WorkerInit {
  readonly base: OpenBaseOptions;
  readonly threads: number | undefined;
  readonly engine: EngineOptions;
  readonly residency: ResidencyOptions;
  /** What the base's tokens spell, for requests with a grammar; null where no token ends an answer. */
  readonly vocabulary: TokenBytes | null;
}

export interface ResidencyOptions {
  /** Bytes of adapters that are ready; those in use included. */
  readonly readyBytes: number;
  /** Bytes of artefacts kept in memory so that loading them again reads no disk. */
  readonly hostBytes: number;
  readonly policy?: PolicyName;
  /** How long an adapter may wait for room beside what is in use; 30 s unless told. */
  readonly maxWaitMs?: number;
}

/** An adapter on disk: its digest, the PEFT folder that holds it, and on whose behalf it is used. */
export interface AdapterSource {
  readonly digest: string;
  readonly directory: string;
  /** Null is the operator. */
  readonly tenant: string | null;
  /** Of its files, if known: the estimate of what it will take in memory. */
  readonly sizeBytes?: number | undefined;
  /** Virtual tokens, which take places of every sequence; none unless told. */
  readonly numVirtual?: number | undefined;
}

/** Several adapters at once, each times its weight; the digest is over them and their weights. */
export interface AdapterMix {
  readonly digest: string;
  /** In the order of their digests. */
  readonly parts: readonly { readonly source: AdapterSource; readonly weight: number }[];
}

/** Answered by one `answer` or `refused` with the same token. */
export type Question =
  | { readonly type: 'stats' }
  | { readonly type: 'pin'; readonly adapter: AdapterSource }
  | { readonly type: 'unload'; readonly digest: string; readonly tenant: string | null }
  | { readonly type: 'forget'; readonly tenant: string }
  | { readonly type: 'residency'; readonly tenant: string | null; readonly limit: number };

/** What each {@link Question} is answered with. */
export interface Answers {
  readonly stats: EngineStats;
  readonly pin: { readonly sizeBytes: number };
  readonly unload: UnloadReport;
  readonly forget: ForgetReport;
  readonly residency: readonly AdapterResidence[];
}

export type ToWorker =
  | { readonly type: 'submit'; readonly request: GenerateRequest; readonly adapter: AdapterSource | AdapterMix | null }
  | { readonly type: 'cancel'; readonly id: string }
  | { readonly type: 'ask'; readonly token: number; readonly question: Question }
  | { readonly type: 'close' };

export type FromWorker =
  | { readonly type: 'ready'; readonly baseDigest: string; readonly instructionSet: string }
  | { readonly type: 'start-failed'; readonly error: RemoteError }
  | { readonly type: 'tokens'; readonly events: readonly TokenEvent[] }
  | { readonly type: 'failed'; readonly id: string; readonly error: RemoteError }
  | { readonly type: 'answer'; readonly token: number; readonly answer: Answers[keyof Answers] }
  | { readonly type: 'refused'; readonly token: number; readonly error: RemoteError }
  | { readonly type: 'load'; readonly observation: LoadObservation };

export interface LoadOrder {
  readonly token: number;
  readonly source: AdapterSource;
  readonly files: PeftFiles | undefined;
}

/** What can be mixed is in shared memory. */
export interface MixOrder {
  readonly token: number;
  readonly parts: readonly MixPart[];
}

export type ToLoader = LoadOrder | MixOrder | { readonly spare: readonly SharedArrayBuffer[] };

export type FromLoader =
  | { readonly token: number; readonly adapter: CompiledAdapter; readonly files: PeftFiles }
  | { readonly token: number; readonly mix: CompiledAdapter }
  | { readonly token: number; readonly error: RemoteError };

/** One tier of memory. */
export interface TierStats {
  readonly count: number;
  readonly sizeBytes: number;
  /** In use, so that they cannot go. */
  readonly heldBytes: number;
  readonly budgetBytes: number;
  /** Adapters that have gone to make room, ever. */
  readonly numEvicted: number;
}

/** Counts are since the engine started. */
export interface ResidencyStats {
  readonly ready: TierStats;
  readonly host: TierStats;
  /** Mixes in use for which the ready tier has no room: they are in memory beside its budget. */
  readonly loose: { readonly count: number; readonly sizeBytes: number };
  readonly pinnedBytes: number;
  /** Requests whose adapter was ready, and others. */
  readonly hits: number;
  readonly misses: number;
  readonly hostLoads: number;
  readonly diskLoads: number;
  readonly failedLoads: number;
  /** Now. */
  readonly numLoading: number;
  readonly numWaiting: number;
  readonly numFailed: number;
}

export interface EngineStats {
  readonly numRunning: number;
  readonly numWaiting: number;
  /** Requests that wait for their adapter. */
  readonly numWaitingForAdapter: number;
  readonly cacheBlocks: number;
  /** Blocks that nobody reads: empty, or holding a prefix that may be asked for again. */
  readonly cacheBlocksFree: number;
  readonly cacheBlocksCached: number;
  readonly prefixHits: number;
  readonly prefixMisses: number;
  readonly prefixEvictions: number;
  readonly preemptions: number;
  readonly residency: ResidencyStats;
  readonly steps: number;
  readonly generatedTokens: number;
  /** Tokens that were guessed, and those of them that were right. */
  readonly draftTokens: number;
  readonly acceptedDraftTokens: number;
  readonly promptTokens: number;
}

/** One load, when it has ended. */
export interface LoadObservation {
  readonly digest: string;
  readonly from: 'host' | 'disk';
  readonly seconds: number;
  readonly isLoaded: boolean;
}

/** One adapter that is in memory, on its way there, or failed. */
export interface AdapterResidence {
  readonly digest: string;
  readonly state: SlotState;
  readonly readyBytes: number;
  readonly hostBytes: number;
  /** Requests in flight. */
  readonly numLeases: number;
  readonly isPinned: boolean;
  /** Milliseconds since 1970. */
  readonly lastUsedMs: number | null;
  /** Of a failure. */
  readonly reason?: string | undefined;
}

/** What a tenant had in memory that is gone now. */
export interface ForgetReport {
  readonly adapters: number;
  readonly freedBytes: number;
  /** Blocks of the cache of keys and values. */
  readonly cacheBlocks: number;
}

/** Bytes over both tiers; exactly one of the three is not zero for an adapter that was in memory. */
export interface UnloadReport {
  readonly freedBytes: number;
  /** Goes when the requests that use it have ended. */
  readonly inUseBytes: number;
  /** Stays, because another tenant has the same adapter. */
  readonly sharedBytes: number;
}
