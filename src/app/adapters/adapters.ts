import { cpSync, existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { ACTOR_CLI, adapterEntry } from '../governance/entries.ts';
import { ggufLora, mlxLora, readArtefact, writeGgufLora, writeMlxLora } from '../../adapters/index.ts';
import { fail, type Problem } from '../../base/index.ts';
import { checkBaseName } from '../../formats/index.ts';
import { referenceOf, type AdapterVersion, type Search } from '../../registry/index.ts';
import type { AppConfig } from '../config.ts';
import { describeBase, resolveBase, type ModelProgress } from '../bases.ts';
import { openPlatform } from '../platform.ts';
import { publishProven } from './publish.ts';

/** `TENANT/TASK` as two names. @throws USAGE_INVALID */
export function parseTarget(text: string, param: string): { tenant: string; task: string } {
  const [, tenant, task] = /^([^/@]+)\/([^/@]+)$/.exec(text) ?? [];
  if (tenant && task) return { tenant, task };
  return fail('USAGE_INVALID', `${param} must be TENANT/TASK, got ${JSON.stringify(text)}`, { param });
}

/** Versions of a tenant, or of everybody, that a search finds. */
export async function listAdapters(
  config: AppConfig,
  tenant: string | undefined,
  search: Search,
): Promise<AdapterVersion[]> {
  await using platform = await openPlatform(config);
  return platform.registry.search(tenant ?? null, search);
}

/** @throws ADAPTER_NOT_FOUND REQUEST_INVALID */
export async function tagAdapter(
  config: AppConfig,
  reference: string,
  change: { readonly add: readonly string[]; readonly remove: readonly string[] },
): Promise<AdapterVersion & { readonly tags: readonly string[] }> {
  await using platform = await openPlatform(config);
  const version = platform.audit.during(
    () => platform.registry.tag(null, reference, change),
    (tagged) =>
      adapterEntry(ACTOR_CLI, 'adapter.tag', tagged, { add: change.add.join(' '), remove: change.remove.join(' ') }),
  );
  return { ...version, tags: platform.registry.tagsOf(version) };
}

export async function showAdapter(
  config: AppConfig,
  reference: string,
): Promise<AdapterVersion & { readonly aliases: readonly string[]; readonly tags: readonly string[] }> {
  await using platform = await openPlatform(config);
  const version = platform.registry.resolve(null, reference);
  return {
    ...version,
    aliases: platform.registry.aliasesOf(version),
    tags: platform.registry.tagsOf(version),
  };
}

/**
 * Publishes a PEFT folder after checking it against its base: it fits, it has an effect, and it gives in a batch what it gives merged.
 * @throws ADAPTER_INVALID QUOTA_EXCEEDED leave the registry as it was
 */
export async function importAdapter(
  config: AppConfig,
  directory: string,
  target: string,
  baseName: string,
  onProgress?: ModelProgress,
): Promise<{ readonly version: AdapterVersion; readonly warning: string | undefined; readonly isGated: boolean }> {
  const { tenant, task } = parseTarget(target, 'name');
  const base = await resolveBase(config, baseName, onProgress);
  const {
    version,
    config: published,
    isGated,
  } = await publishProven(
    config,
    base,
    directory,
    { tenant, task },
    {
      provenance: { importedFrom: resolve(directory).split(/[\\/]/).at(-1) ?? directory },
    },
  );
  return { version, warning: checkBaseName(published, base.repository), isGated };
}

export const EXPORT_FORMATS = ['peft', 'gguf', 'mlx'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/**
 * Writes a version out: as a PEFT folder, byte for byte as it was published, as a GGUF file that llama.cpp loads beside the base's GGUF, or as
 * a folder of mlx-lm's.
 * @throws ADAPTER_NOT_FOUND; USAGE_INVALID the path exists; ADAPTER_INVALID it cannot be said in that form
 */
export async function exportAdapter(
  config: AppConfig,
  reference: string,
  path: string,
  format: ExportFormat = 'peft',
): Promise<AdapterVersion> {
  if (existsSync(path)) fail('USAGE_INVALID', `${path} exists already: name one that does not`, { param: 'path' });
  await using platform = await openPlatform(config);
  const version = platform.registry.resolve(null, reference);
  const folder = await platform.registry.materialise(version);
  if (format === 'peft') cpSync(folder, path, { recursive: true });
  else {
    const base = await resolveBase(config, version.base.name);
    if (base.digest !== version.base.digest) {
      fail('ADAPTER_INVALID', `${reference} belongs to another ${version.base.name} than the one that is here`);
    }
    const described = describeBase(base);
    const adapter = readArtefact(folder, described);
    if (format === 'mlx') writeMlxLora(path, mlxLora(adapter, described));
    else writeGgufLora(path, ggufLora(adapter, described, `${version.tenant}/${version.task}`));
  }
  return version;
}

/** @throws ADAPTER_NOT_FOUND; ADAPTER_IN_USE something answers by it, or may at any moment */
export async function removeAdapter(config: AppConfig, reference: string): Promise<AdapterVersion> {
  await using platform = await openPlatform(config);
  const version = platform.registry.resolve(null, reference);
  const user = platform.delivery.userOf(version);
  if (user !== undefined) {
    fail('ADAPTER_IN_USE', `${referenceOf(version)} is the ${user} of its task: stop the ${user} first`);
  }
  return await platform.registry.remove(
    null,
    reference,
    (removed) => void platform.audit.record(adapterEntry(ACTOR_CLI, 'adapter.remove', removed)),
  );
}

export async function verifyAdapters(config: AppConfig): Promise<Problem[]> {
  await using platform = await openPlatform(config);
  return await platform.registry.verify();
}
