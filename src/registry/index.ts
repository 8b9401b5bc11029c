/**
 * registry: the immutable versions of adapters, the aliases that point at them, and the way from a name to a version.
 * Owns: the adapter tables and the blob store of artefacts; nobody else writes or removes blobs there.
 * May import: base storage.   Called by: app.
 * Runs on: any process; several may work on one home folder at once.
 * Throws: ADAPTER_INVALID ADAPTER_NOT_FOUND ADAPTER_IN_USE QUOTA_EXCEEDED REQUEST_INVALID FILE_NOT_FOUND STORAGE_CORRUPT.
 */
export {
  referenceOf,
  type AdapterFile,
  type AdapterVersion,
  type BaseReference,
  type Classes,
  type JsonValue,
} from './adapter-version.ts';
export { parseReference, type AdapterReference } from './reference.ts';
export { LATEST, type AliasChange } from './aliases.ts';
export type { PublishInfo, PublishResult } from './publish.ts';
export type { Allowance } from './holdings.ts';
export type { Page } from './catalog.ts';
export { REGISTRY_MIGRATIONS } from './tables.ts';
export { ROUTING_MIGRATIONS, type Split, type SplitEntry } from './splits.ts';
export type { Search } from './tags.ts';
export type { DataRole, KeptData, TrainingData } from './training-data.ts';
export { Registry } from './registry.ts';
