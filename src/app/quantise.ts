import { loadNativeKernels } from '../numeric/index.ts';
import { writeNf4Folder } from '../model/index.ts';
import { resolveBase, type ModelProgress } from './bases.ts';
import type { AppConfig } from './config.ts';

export interface QuantisedBase {
  readonly base: string;
  readonly output: string;
  readonly sizeBytes: number;
  readonly numMatrices: number;
}

/** Writes a base in NF4 as Transformers and bitsandbytes open it. @throws MODEL_NOT_FOUND MODEL_UNSUPPORTED */
export async function quantiseBase(
  config: AppConfig,
  { base: name, output }: { readonly base: string; readonly output: string },
  onProgress?: ModelProgress,
): Promise<QuantisedBase> {
  const { open } = await resolveBase(config, name, onProgress);
  const kernels = loadNativeKernels(config.threads === undefined ? {} : { threads: config.threads });
  return { base: open.name, output, ...writeNf4Folder(open.path, output, kernels) };
}
