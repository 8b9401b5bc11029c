import type { ErrorCode } from '../base/index.ts';
import type { OpenBaseOptions } from '../model/index.ts';
import type { EngineOptions } from './engine.ts';
import type { GenerateRequest, TokenEvent } from './request.ts';

/** Everything that crosses the port between the main thread and the engine worker. Requests go down, events come up; nothing is shared. */
export interface WorkerInit {
  readonly base: OpenBaseOptions;
  readonly threads: number | undefined;
  readonly engine: EngineOptions;
  /** Bytes of adapters that may stay in memory while nobody uses them. */
  readonly adapterBytes: number;
}

/** An adapter on disk: its digest and the PEFT folder that holds it. */
export interface AdapterSource {
  readonly digest: string;
  readonly directory: string;
}

/** Several adapters at once, each times its weight; the digest is over them and their weights. */
export interface AdapterMix {
  readonly digest: string;
  /** In the order of their digests. */
  readonly parts: readonly { readonly source: AdapterSource; readonly weight: number }[];
}

export type ToWorker =
  | { readonly type: 'submit'; readonly request: GenerateRequest; readonly adapter: AdapterSource | AdapterMix | null }
  | { readonly type: 'cancel'; readonly id: string }
  | { readonly type: 'stats'; readonly token: number }
  | { readonly type: 'close' };

export interface EngineStats {
  readonly numRunning: number;
  readonly numWaiting: number;
  readonly cacheBlocks: number;
  /** Blocks that nobody reads: empty, or holding a prefix that may be asked for again. */
  readonly cacheBlocksFree: number;
  readonly cacheBlocksCached: number;
  readonly prefixHits: number;
  readonly prefixMisses: number;
  readonly prefixEvictions: number;
  readonly preemptions: number;
  readonly residentAdapters: number;
  readonly residentAdapterBytes: number;
  readonly steps: number;
  readonly generatedTokens: number;
  readonly promptTokens: number;
}

export interface RemoteError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param: string | undefined;
  readonly retryAfterMs: number | undefined;
}

export type FromWorker =
  | { readonly type: 'ready'; readonly baseDigest: string; readonly instructionSet: string }
  | { readonly type: 'start-failed'; readonly error: RemoteError }
  | { readonly type: 'tokens'; readonly events: readonly TokenEvent[] }
  | { readonly type: 'failed'; readonly id: string; readonly error: RemoteError }
  | { readonly type: 'stats'; readonly token: number; readonly stats: EngineStats };
