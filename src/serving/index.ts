/**
 * serving: turns admitted requests into tokens.
 * Owns: sequences, the adapters in memory, KV blocks. Nobody else writes them.
 * May import: base formats numeric model adapters grammar.   Called by: app.
 * Runs on: the engine worker thread and the loader's; client.ts on the main thread.
 * Throws: OVERLOADED DEADLINE_EXCEEDED CONTEXT_TOO_LONG REQUEST_INVALID ADAPTER_INVALID ADAPTER_UNAVAILABLE ENGINE_UNAVAILABLE CANCELLED INTERNAL.
 */
export {
  DEFAULT_ENGINE,
  Engine,
  type EngineCounts,
  type EngineOptions,
  type RequestFailure,
  type StepOutcome,
} from './engine.ts';
export { EngineClient, type ClientOptions, type TokenObserver } from './client.ts';
export { checkLength } from './admission-checks.ts';
export { longestSequence } from './cache/kv-blocks.ts';
export { POLICY_NAMES, type PolicyName } from './residency/eviction-policy.ts';
export type {
  AdapterMix,
  AdapterResidence,
  AdapterSource,
  EngineStats,
  LoadObservation,
  ResidencyOptions,
  TierStats,
  ForgetReport,
  UnloadReport,
  WorkerInit,
} from './messages.ts';
export {
  GREEDY,
  type AnswerGrammar,
  type FinishReason,
  type GenerateRequest,
  type RankedLogprob,
  type SamplingParams,
  type ClassLogits,
  type TokenEvent,
  type TokenLogprob,
} from './request.ts';
