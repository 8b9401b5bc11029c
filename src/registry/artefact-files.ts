import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fail, type Digest, type Problem } from '../base/index.ts';
import type { BlobStore } from '../storage/index.ts';
import type { AdapterFile, BaseReference } from './adapter-version.ts';

const REQUIRED = ['adapter_config.json', 'adapter_model.safetensors'] as const;
/** What training leaves beside an adapter (its record, its curves) is no part of the adapter. */
const RUN_FOLDER = 'run';
const MAX_FILES = 32;
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
/** Formats that run code when they are read. */
const PICKLE = /\.(?:bin|pt|pth|pkl|pickle|ckpt)$/;

/**
 * Copies the files of an artefact folder into the blob store, in the order of their names.
 * @throws ADAPTER_INVALID with every problem of the folder
 */
export async function storeFiles(blobs: BlobStore, folder: string): Promise<AdapterFile[]> {
  const names = await listFiles(folder);
  const files: AdapterFile[] = [];
  for (const name of names) files.push({ name, ...(await blobs.putFile(join(folder, name))) });
  return files;
}

async function listFiles(folder: string): Promise<string[]> {
  const all = await readdir(folder, { withFileTypes: true }).catch((error: unknown) =>
    fail('FILE_NOT_FOUND', `${folder}: no such folder`, { param: folder, cause: error }),
  );
  const entries = all.filter((entry) => !(entry.isDirectory() && entry.name === RUN_FOLDER));
  const problems: Problem[] = [];
  for (const entry of entries) {
    const report = (message: string): unknown => problems.push({ where: entry.name, message });
    if (PICKLE.test(entry.name)) report('is a pickle, which is never read: save the adapter as safetensors');
    else if (!entry.isFile()) report('is not a regular file: publish a folder that holds one adapter and nothing else');
    else if (!FILE_NAME.test(entry.name))
      report('has a name that other systems cannot hold: use letters, digits, ".", "_", "-"');
  }
  const names = entries.map(({ name }) => name).sort();
  for (const name of REQUIRED) if (!names.includes(name)) problems.push({ where: name, message: 'is missing' });
  if (names.length > MAX_FILES)
    problems.push({ where: '.', message: `has ${names.length} files, at most ${MAX_FILES}` });
  if (problems.length > 0) {
    const list = problems.map(({ where, message }) => `${where} ${message}`).join('; ');
    fail('ADAPTER_INVALID', `${folder} is no adapter that can be published: ${list}`, { param: folder, problems });
  }
  return names;
}

/** What identifies a version's content. */
export interface Manifest {
  readonly base: BaseReference;
  readonly method: string;
  readonly rank: number | null;
  readonly parameters: number;
  readonly files: readonly AdapterFile[];
}

/**
 * The manifest's one and only text: fixed order of keys, files by name. It holds no tenant, no time and no name of the base, so
 * that equal content has equal digests everywhere.
 */
export function manifestText({ base, method, rank, parameters, files }: Manifest): string {
  return JSON.stringify({
    format: 'espalier.adapter/1',
    base: base.digest,
    method,
    rank,
    parameters,
    files: files.map(({ name, digest, sizeBytes }) => ({ name, digest, sizeBytes })),
  });
}

export function manifestDigest(manifest: Manifest): Digest {
  return `sha256:${createHash('sha256').update(manifestText(manifest)).digest('hex')}`;
}
