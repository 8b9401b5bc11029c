import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readArtefact, type Adapter } from '../../adapters/index.ts';
import { fail } from '../../base/index.ts';
import { isRecord, readJsonFile } from '../../formats/index.ts';
import { referenceOf } from '../../registry/index.ts';
import { WEIGHT_FORMATS, type WeightFormat } from '../../numeric/index.ts';
import { describeBase, resolveBase, type Base, type ModelProgress } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { openPlatform } from '../platform.ts';

/** An adapter of the registry or of a folder, with what is known of its base. */
export interface OpenedAdapter {
  /** `TENANT/TASK@VERSION`, or the folder as it was named. */
  readonly reference: string;
  /** The registry's digest; null for a folder. */
  readonly digest: string | null;
  readonly adapter: Adapter;
  readonly base: Base;
  /** How the base's weights were held in the training, where that is known. */
  readonly trainedFormat: WeightFormat | undefined;
}

/**
 * Opens an adapter by its reference or its folder.
 * @param baseName needed for a folder; an adapter of the registry knows its base
 * @throws ADAPTER_NOT_FOUND ADAPTER_INVALID; USAGE_INVALID a folder without a base
 */
export async function openAdapter(
  config: AppConfig,
  reference: string,
  baseName: string | undefined,
  onProgress?: ModelProgress,
): Promise<OpenedAdapter> {
  if (existsSync(reference)) {
    if (baseName === undefined) {
      fail('USAGE_INVALID', `${reference} is a folder, which does not know its base: name it with --base`, {
        param: '--base',
      });
    }
    const base = await resolveBase(config, baseName, onProgress);
    const adapter = readArtefact(reference, describeBase(base));
    return { reference, digest: null, adapter, base, trainedFormat: formatOfRun(reference) };
  }
  await using platform = await openPlatform(config);
  const version = platform.registry.resolve(null, reference);
  const base = await resolveBase(config, baseName ?? version.base.name, onProgress);
  if (base.digest !== version.base.digest) {
    fail('ADAPTER_INVALID', `${reference} belongs to another ${version.base.name} than the one that is here`);
  }
  const adapter = readArtefact(await platform.registry.materialise(version), describeBase(base));
  const { config: settings } = version.provenance;
  const named = isRecord(settings) ? settings['baseFormat'] : undefined;
  return { reference: referenceOf(version), digest: version.digest, adapter, base, trainedFormat: knownFormat(named) };
}

/** What the record of the run beside a folder says. */
function formatOfRun(folder: string): WeightFormat | undefined {
  const path = join(folder, 'run', 'run.json');
  if (!existsSync(path)) return undefined;
  const record = readJsonFile(path);
  const result = isRecord(record) ? record['result'] : undefined;
  return knownFormat(isRecord(result) ? result['baseFormat'] : undefined);
}

function knownFormat(value: unknown): WeightFormat | undefined {
  return WEIGHT_FORMATS.find((format) => format === value);
}
