/**
 * hub: base models on this machine: found, downloaded, checked, listed.
 * Owns: the folder HOME/models.
 * May import: base formats.   Called by: app.
 * Runs on: the main thread.
 * Throws: MODEL_NOT_FOUND MODEL_INVALID DOWNLOAD_FAILED DIGEST_MISMATCH CANCELLED USAGE_INVALID FILE_NOT_FOUND FILE_INVALID.
 */
export { CATALOG, type Catalog, type CatalogEntry, type PinnedFile } from './catalog.ts';
export { ensureModel, type PullEvent, type PullOptions } from './pull.ts';
export {
  hasModel,
  importModel,
  listModels,
  modelsFolder,
  removeModel,
  resolveModel,
  showModel,
  type ModelFile,
  type ModelKind,
  type ModelManifest,
  type ResolvedModel,
} from './store.ts';
