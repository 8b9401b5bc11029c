import { isRecord } from '../../formats/index.ts';
import { WEIGHT_FORMATS, type WeightFormat } from '../../numeric/index.ts';
import { referenceOf, type AdapterVersion } from '../../registry/index.ts';
import type { RunConfig } from '../../training/index.ts';
import type { Platform } from '../platform.ts';
import { parseRunConfig } from '../runs/run-record.ts';

/** Everything that it takes to train a version anew. */
export interface Recipe {
  readonly method: string;
  readonly format: WeightFormat;
  readonly config: RunConfig;
  readonly trainPath: string;
  readonly validPath: string | undefined;
}

/** What a version keeps of how it came to be. @returns a text: why it cannot be trained anew @throws CONFIG_INVALID STORAGE_CORRUPT */
export async function recipeOf(registry: Platform['registry'], version: AdapterVersion): Promise<Recipe | string> {
  const kept = version.provenance['config'];
  if (!isRecord(kept)) return 'its settings are not known: it was not trained here';
  const trainPath = await registry.dataPath(version, 'train');
  if (trainPath === undefined) return 'what it was trained on was not kept';
  const { method, baseFormat, ...config } = kept;
  const format = WEIGHT_FORMATS.find((known) => known === baseFormat);
  if (typeof method !== 'string' || !format) return 'its method or the format of its base is not known';
  return {
    method,
    format,
    config: parseRunConfig(config, `the settings of ${referenceOf(version)}`),
    trainPath,
    validPath: await registry.dataPath(version, 'valid'),
  };
}
