import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import {
  digestOfBytes,
  digestOfFile,
  openGguf,
  openSafetensors,
  readJsonFile,
  readShardIndex,
} from '../formats/index.ts';
import { errorMessage, fail, isDigest, isName, newId, systemClock, type Clock, type Digest } from '../base/index.ts';
import { OPTIONAL_FILES, REQUIRED_FILES, SINGLE_WEIGHTS, WEIGHTS_INDEX } from './catalog.ts';

export type ModelKind = 'gguf' | 'hf-folder';

export interface ModelFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** What `manifest.json` says of a model in the store; written last, so a folder with one is whole. */
export interface ModelManifest {
  readonly formatVersion: 1;
  readonly name: string;
  readonly kind: ModelKind;
  /** Identity: the file's digest for a GGUF model, the digest over the files' digests for a folder. */
  readonly digest: Digest;
  /** Where it came from: an address, a path, a Python package. */
  readonly source: string;
  readonly sizeBytes: number;
  /** ISO 8601. */
  readonly addedAt: string;
  readonly files: readonly ModelFile[];
}

/** A base model that can be opened. */
export interface ResolvedModel {
  readonly name: string;
  /** The GGUF file, or the Hugging Face folder. */
  readonly path: string;
  readonly kind: ModelKind;
  readonly digest: Digest;
}

const MANIFEST = 'manifest.json';

export function modelsFolder(home: string): string {
  return join(home, 'models');
}

/** The models in the store, by name. A folder without a manifest (a pull under way) is none. */
export function listModels(home: string): ModelManifest[] {
  const folder = modelsFolder(home);
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => isName(name) && existsSync(join(folder, name, MANIFEST)));
  return names.sort().map((name) => readManifest(home, name));
}

/** @throws MODEL_NOT_FOUND FILE_INVALID */
export function showModel(home: string, name: string): ModelManifest {
  if (!hasModel(home, name)) fail('MODEL_NOT_FOUND', notFound(home, name), { param: 'name' });
  return readManifest(home, name);
}

export function hasModel(home: string, name: string): boolean {
  return isName(name) && existsSync(join(modelsFolder(home), name, MANIFEST));
}

/** Removes a model from the store. Processes that have it mapped keep it until they end. @throws MODEL_NOT_FOUND */
export function removeModel(home: string, name: string): void {
  if (!hasModel(home, name)) fail('MODEL_NOT_FOUND', notFound(home, name), { param: 'name' });
  const grave = join(modelsFolder(home), `.removed-${newId('')}`);
  renameSync(join(modelsFolder(home), name), grave);
  rmSync(grave, { recursive: true, force: true });
}

/**
 * A model by its name in the store, or by the path of a GGUF file or Hugging Face folder (which is hashed each time).
 * @throws MODEL_NOT_FOUND; MODEL_INVALID when a file of the store is gone or has another size
 */
export function resolveModel(home: string, nameOrPath: string): ResolvedModel {
  if (hasModel(home, nameOrPath)) return resolveStored(home, readManifest(home, nameOrPath));
  const path = resolve(nameOrPath);
  if (!existsSync(path)) fail('MODEL_NOT_FOUND', notFound(home, nameOrPath), { param: 'name' });
  const { kind, files } = inspectModel(path);
  return { name: basename(path), path, kind, digest: digestOf(kind, files) };
}

/**
 * Copies a GGUF file or Hugging Face folder into the store under a name. Its headers are checked first.
 * @throws MODEL_INVALID FILE_INVALID FILE_NOT_FOUND; USAGE_INVALID for a bad or taken name
 */
export function importModel(home: string, path: string, name: string, clock: Clock = systemClock): ModelManifest {
  if (!isName(name)) {
    fail(
      'USAGE_INVALID',
      `${JSON.stringify(name)} is no model name: use lower-case letters, digits, ".", "_" and "-"`,
      { param: 'name' },
    );
  }
  if (hasModel(home, name))
    fail('USAGE_INVALID', `a model named ${name} exists already: remove it first or take another name`, {
      param: 'name',
    });
  const source = resolve(path);
  if (!existsSync(source)) fail('FILE_NOT_FOUND', `${path}: there is no such file or folder`);
  const { kind, files } = inspectModel(source);
  const staging = join(modelsFolder(home), `.import-${newId('')}`);
  try {
    mkdirSync(staging, { recursive: true });
    const folder = kind === 'gguf' ? join(source, '..') : source;
    for (const file of files) cpSync(join(folder, file.path), join(staging, file.path), { dereference: true });
    return installModel(home, { name, staging, source, clock });
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/**
 * Moves a whole, checked staging folder into place in one step. When another process was faster, its model is kept.
 * @returns the manifest of the model that is in the store now
 */
export function installModel(
  home: string,
  { name, staging, source, clock }: { name: string; staging: string; source: string; clock: Clock },
): ModelManifest {
  const names = readdirSync(staging);
  const gguf = names.find((file) => file.endsWith('.gguf'));
  const { kind, files } = inspectModel(gguf === undefined ? staging : join(staging, gguf));
  const manifest: ModelManifest = {
    formatVersion: 1,
    name,
    kind,
    digest: digestOf(kind, files),
    source,
    sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    addedAt: new Date(clock.epochMs()).toISOString(),
    files,
  };
  writeFileSync(join(staging, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`, { flush: true });
  try {
    renameSync(staging, join(modelsFolder(home), name));
  } catch (error) {
    if (!hasModel(home, name)) throw error;
    return readManifest(home, name);
  }
  return manifest;
}

/** Which files make up the model at a path, each header checked. @throws MODEL_INVALID FILE_INVALID FILE_NOT_FOUND */
function inspectModel(path: string): { kind: ModelKind; files: ModelFile[] } {
  if (!statSync(path).isDirectory()) {
    openGguf(path).close();
    return { kind: 'gguf', files: [describeFile(path, basename(path))] };
  }
  const names = [...REQUIRED_FILES, ...OPTIONAL_FILES].filter((name) => existsSync(join(path, name)));
  const missing = ['config.json', 'tokenizer.json'].find((name) => !names.includes(name));
  if (missing !== undefined)
    fail('MODEL_INVALID', `${path}: has no ${missing}: expected a GGUF file or a folder as Hugging Face lays it out`);
  readJsonFile(join(path, 'config.json'));
  const weights = weightFiles(path);
  for (const name of weights) openSafetensors(join(path, name)).close();
  const index = weights.includes(SINGLE_WEIGHTS) ? [] : [WEIGHTS_INDEX];
  return {
    kind: 'hf-folder',
    files: [...names, ...index, ...weights].map((name) => describeFile(join(path, name), name)),
  };
}

function weightFiles(folder: string): string[] {
  if (existsSync(join(folder, SINGLE_WEIGHTS))) return [SINGLE_WEIGHTS];
  const index = join(folder, WEIGHTS_INDEX);
  if (existsSync(index)) return readShardIndex(index).files.map((file) => basename(file));
  return fail('MODEL_INVALID', `${folder}: has neither ${SINGLE_WEIGHTS} nor ${WEIGHTS_INDEX}`);
}

function describeFile(path: string, name: string): ModelFile {
  return { path: name, sizeBytes: statSync(path).size, sha256: digestOfFile(path).slice('sha256:'.length) };
}

function digestOf(kind: ModelKind, files: readonly ModelFile[]): Digest {
  const [first] = files;
  if (kind === 'gguf' && first) return `sha256:${first.sha256}`;
  const lines = files.map(({ path, sha256 }) => `${sha256}  ${path}\n`).sort();
  return digestOfBytes(lines.join(''));
}

function resolveStored(home: string, { name, kind, digest, files }: ModelManifest): ResolvedModel {
  const folder = join(modelsFolder(home), name);
  for (const { path, sizeBytes } of files) {
    const size = statSync(join(folder, path), { throwIfNoEntry: false })?.size;
    if (size !== sizeBytes) {
      const found = size === undefined ? 'is gone' : `has ${size} bytes, expected ${sizeBytes}`;
      fail('MODEL_INVALID', `${join(folder, path)} ${found}: remove the model ${name} and pull it again`);
    }
  }
  return { name, path: kind === 'gguf' ? join(folder, files[0]?.path ?? '') : folder, kind, digest };
}

function readManifest(home: string, name: string): ModelManifest {
  const path = join(modelsFolder(home), name, MANIFEST);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    fail('FILE_INVALID', `${path}: cannot be read: ${errorMessage(cause)}`, { cause });
  }
  if (!isManifest(value))
    fail('FILE_INVALID', `${path}: is no model manifest: remove the model ${name} and pull it again`);
  return value;
}

function isManifest(value: unknown): value is ModelManifest {
  if (typeof value !== 'object' || value === null) return false;
  const { formatVersion, kind, digest, files } = value as Partial<Record<keyof ModelManifest, unknown>>;
  return (
    formatVersion === 1 &&
    (kind === 'gguf' || kind === 'hf-folder') &&
    typeof digest === 'string' &&
    isDigest(digest) &&
    Array.isArray(files)
  );
}

function notFound(home: string, name: string): string {
  const known = listModels(home).map((model) => model.name);
  const here = known.length > 0 ? `models here: ${known.join(', ')}` : 'there are no models here yet';
  return `there is no model and no path ${JSON.stringify(name)} (${here}): pull or import it`;
}
