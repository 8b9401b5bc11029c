/**
 * serving: turns admitted requests into tokens.
 * Owns: sequences, adapter slots, KV blocks. Nobody else writes them.
 * May import: base numeric model adapters.   Called by: app.
 * Runs on: the engine worker thread; client.ts on the main thread.
 * Throws: OVERLOADED DEADLINE_EXCEEDED CONTEXT_TOO_LONG REQUEST_INVALID ADAPTER_INVALID CANCELLED INTERNAL.
 */
export {
  DEFAULT_ENGINE,
  Engine,
  type EngineCounts,
  type EngineOptions,
  type RequestFailure,
  type StepOutcome,
} from './engine.ts';
export { EngineClient } from './client.ts';
export type { AdapterMix, AdapterSource, EngineStats, WorkerInit } from './messages.ts';
export {
  GREEDY,
  type FinishReason,
  type GenerateRequest,
  type RankedLogprob,
  type SamplingParams,
  type TokenEvent,
  type TokenLogprob,
} from './request.ts';
export { kvBytesPerToken } from './kv-blocks.ts';
