import { isRecord } from '../../formats/index.ts';
import { WEIGHT_FORMATS, type WeightFormat } from '../../numeric/index.ts';
import { referenceOf, type AdapterVersion } from '../../registry/index.ts';
import type { RunConfig } from '../../training/index.ts';
import { describeBase, type Base } from '../bases.ts';
import type { Platform } from '../platform.ts';
import { parseRunConfig } from '../runs/run-record.ts';
import { withInitialTokens } from '../runs/run-settings.ts';
import { onModel } from '../runs/train-part-methods.ts';

/** Everything that it takes to train a version anew. */
export interface Recipe {
  readonly method: string;
  readonly format: WeightFormat;
  readonly config: RunConfig;
}

/** What a version keeps of how it came to be. @returns a text: why it cannot be trained anew @throws CONFIG_INVALID */
export function recipeOf(registry: Platform['registry'], version: AdapterVersion): Recipe | string {
  const kept = version.provenance['config'];
  if (!isRecord(kept)) return 'its settings are not known: it was not trained here';
  if (!registry.dataOf(version).some(({ role }) => role === 'train')) return 'what it was trained on was not kept';
  const { method, baseFormat, ...config } = kept;
  const format = WEIGHT_FORMATS.find((known) => known === baseFormat);
  if (typeof method !== 'string' || !format) return 'its method or the format of its base is not known';
  return {
    method,
    format,
    config: parseRunConfig(config, `the settings of ${referenceOf(version)}`),
  };
}

/** The settings of a recipe on another base: what holds a model's sizes has the new one's, and a text is in its tokens. */
export function settingsOn({ config }: Recipe, base: Base): RunConfig {
  const { initialTokenIds: _, ...settings } = config;
  return { ...settings, ...withInitialTokens(onModel(config.adapter, describeBase(base).config), base) };
}
