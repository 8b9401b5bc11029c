/**
 * serving: turns admitted requests into tokens.
 * Owns: sequences, the adapters in memory, KV blocks. Nobody else writes them.
 * May import: base formats numeric model adapters.   Called by: app.
 * Runs on: the engine worker thread and the loader's; client.ts on the main thread.
 * Throws: OVERLOADED CONTEXT_TOO_LONG REQUEST_INVALID ADAPTER_UNAVAILABLE ENGINE_UNAVAILABLE CANCELLED INTERNAL.
 */
export { DEFAULT_ENGINE, Engine, type EngineOptions } from './engine.ts';
export { EngineClient, type ClientOptions, type TokenObserver } from './client.ts';
export { POLICY_NAMES, type PolicyName } from './eviction-policy.ts';
export type {
  AdapterResidence,
  AdapterSource,
  EngineStats,
  LoadObservation,
  TierStats,
  UnloadReport,
  WorkerInit,
} from './messages.ts';
export type { ResidencyOptions } from './residency.ts';
export { GREEDY, type FinishReason, type GenerateRequest, type SamplingParams, type TokenEvent } from './request.ts';
export { kvBytesPerToken } from './kv-blocks.ts';
