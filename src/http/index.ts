/**
 * http: OpenAI's shapes on the wire, over functions that the app passes in.
 * Owns: the listening socket, the schemas of requests and responses, the map from error kinds to statuses.
 * May import: base formats, and types of serving registry delivery tenancy audit jobs.   Called by: app.
 * Runs on: the main thread.
 * Throws: CONFIG_INVALID REQUEST_INVALID KEY_INVALID INTERNAL.
 */
export { startServer, type RunningServer, type ServerOptions } from './server.ts';
export { createApp, type AppOptions } from './app.ts';
export type { AdapterServices, LoadRequest, NamedResidence, Unloaded } from './adapter-services.ts';
export type { CatalogueServices, ListedVersion, ShownVersion } from './catalogue-services.ts';
export type {
  DataCheck,
  DataServices,
  FileFields,
  FileProblem,
  FileServices,
  JobRequest,
  JobServices,
  RequestedPeft,
  RunEstimate,
  UploadRequest,
} from './tuning-services.ts';
export type { DeliveryServices, GateRequest } from './delivery-services.ts';
export type { TaskRoute, TaskServices } from './task-services.ts';
export type { AuditQuery, AuditServices, KeyServices, UsageQuery, UsageServices } from './governance-services.ts';
export type { TenantErasure, TenantServices, TenantUsage } from './tenant-services.ts';
export type {
  AnswerFormat,
  ChatRequest,
  ClassifiedInput,
  ClassifyRequest,
  EmbeddingRequest,
  GenerationOptions,
  Scheduling,
  TextInput,
  TextRequest,
  Tool,
  ToolUse,
} from './requests.ts';
export type {
  AnswerDelta,
  AnswerToken,
  Classification,
  Classifications,
  Embeddings,
  FinishReason,
  MixEntry,
  ModelEntry,
  ModelSelection,
  ResolvedModel,
  ResolvedPart,
  RoutedRequest,
  Services,
  TokenLogprob,
  ToolCallDelta,
  Usage,
} from './services.ts';
