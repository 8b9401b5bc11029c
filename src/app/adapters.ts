import { cpSync, existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fail, type Problem } from '../base/index.ts';
import { checkBaseName } from '../formats/index.ts';
import type { AdapterVersion } from '../registry/index.ts';
import type { AppConfig } from './config.ts';
import { resolveBase, type ModelProgress } from './bases.ts';
import { openPlatform } from './platform.ts';
import { publishProven } from './publish.ts';

/** `TENANT/TASK` as two names. @throws USAGE_INVALID */
export function parseTarget(text: string, param: string): { tenant: string; task: string } {
  const [, tenant, task] = /^([^/@]+)\/([^/@]+)$/.exec(text) ?? [];
  if (tenant && task) return { tenant, task };
  return fail('USAGE_INVALID', `${param} must be TENANT/TASK, got ${JSON.stringify(text)}`, { param });
}

export async function listAdapters(
  config: AppConfig,
  tenant: string | undefined,
  limit: number,
): Promise<AdapterVersion[]> {
  await using platform = await openPlatform(config);
  return platform.registry.list(tenant ?? null, { limit });
}

export async function showAdapter(
  config: AppConfig,
  reference: string,
): Promise<AdapterVersion & { readonly aliases: readonly string[] }> {
  await using platform = await openPlatform(config);
  const version = platform.registry.resolve(null, reference);
  return { ...version, aliases: platform.registry.aliasesOf(version) };
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
): Promise<{ readonly version: AdapterVersion; readonly warning: string | undefined }> {
  const { tenant, task } = parseTarget(target, 'name');
  const base = await resolveBase(config, baseName, onProgress);
  const { version, config: published } = await publishProven(
    config,
    base,
    directory,
    { tenant, task },
    {
      provenance: { importedFrom: resolve(directory).split(/[\\/]/).at(-1) ?? directory },
    },
  );
  return { version, warning: checkBaseName(published, base.repository) };
}

export async function exportAdapter(config: AppConfig, reference: string, directory: string): Promise<AdapterVersion> {
  if (existsSync(directory))
    fail('USAGE_INVALID', `${directory} exists already: name a folder that does not`, { param: 'dir' });
  await using platform = await openPlatform(config);
  const version = platform.registry.resolve(null, reference);
  cpSync(await platform.registry.materialise(version), directory, { recursive: true });
  return version;
}

export async function promoteAdapter(config: AppConfig, reference: string, alias: string): Promise<AdapterVersion> {
  await using platform = await openPlatform(config);
  return platform.registry.promote(null, reference, alias);
}

export async function rollbackAdapter(config: AppConfig, target: string, alias: string): Promise<AdapterVersion> {
  const { tenant, task } = parseTarget(target, 'name');
  await using platform = await openPlatform(config);
  return platform.registry.rollback(tenant, task, alias);
}

export async function removeAdapter(config: AppConfig, reference: string): Promise<AdapterVersion> {
  await using platform = await openPlatform(config);
  return platform.registry.remove(null, reference);
}

export async function verifyAdapters(config: AppConfig): Promise<Problem[]> {
  await using platform = await openPlatform(config);
  return platform.registry.verify();
}
