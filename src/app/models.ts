import { existsSync } from 'node:fs';
import { BASE_ADAPTER, compileAdapter, readArtefact, type CompiledAdapter } from '../adapters/index.ts';
import { fail } from '../base/index.ts';
import { openBase, type BaseModel } from '../model/index.ts';
import { loadNativeKernels, type WeightFormat } from '../numeric/index.ts';
import { openChatRenderer, type ChatRenderer } from '../text/index.ts';
import { resolveBase, type ModelProgress, type Use } from './bases.ts';
import type { AppConfig } from './config.ts';
import { openPlatform } from './platform.ts';

/** A base in this process, with an adapter of it if one is asked for. */
export interface OpenedModel {
  readonly base: BaseModel;
  readonly renderer: ChatRenderer;
  /** Adapter zero when none was asked for. */
  readonly adapter: CompiledAdapter;
}

export interface ModelOptions {
  readonly base: string;
  /** A registry reference or a PEFT folder. */
  readonly adapter?: string | undefined;
  readonly format?: WeightFormat | undefined;
  /** What for: see {@link computeDtypeFor}. */
  readonly use?: Use | undefined;
}

/** Opens base, tokenizer and adapter in this process, for commands that work without a server. */
export async function openModel(
  config: AppConfig,
  { base: name, adapter, format, use }: ModelOptions,
  onProgress?: ModelProgress,
): Promise<OpenedModel> {
  const resolved = await resolveBase(config, name, onProgress, format, use);
  const directory = adapter === undefined ? undefined : await adapterDirectory(config, adapter, resolved.digest);
  const base = openBase(
    resolved.open,
    loadNativeKernels(config.threads === undefined ? {} : { threads: config.threads }),
  );
  const renderer = openChatRenderer(resolved.open.path);
  if (directory === undefined) return { base, renderer, adapter: BASE_ADAPTER };
  return { base, renderer, adapter: compileAdapter(readArtefact(directory, base), base) };
}

/** @throws ADAPTER_NOT_FOUND; ADAPTER_INVALID for an adapter of another base */
async function adapterDirectory(config: AppConfig, reference: string, baseDigest: string): Promise<string> {
  if (existsSync(reference)) return reference;
  await using platform = await openPlatform(config);
  const version = platform.registry.resolve(null, reference);
  if (version.base.digest !== baseDigest) {
    fail(
      'ADAPTER_INVALID',
      `${reference} belongs to the base ${version.base.name} (${version.base.digest}), not to ${baseDigest}`,
    );
  }
  return await platform.registry.materialise(version);
}
