import type { Digest } from '../base/index.ts';
import {
  checkAgainstBase,
  configIdentity,
  digestOfTensors,
  EMBEDDING_PATH,
  HEAD_PATH,
  readPeftFolder,
  scoreName,
  writePeftFolder,
  type AdapterBase,
  type AdapterSite,
  type Classes,
  type PeftConfig,
  type PeftFiles,
} from '../formats/index.ts';
import { normSites, type BaseModel, type LinearSite } from '../model/index.ts';
import { assembleAdapter } from './compiled.ts';
import { requireTensor, type AdapterTensors } from './method.ts';
import { methodOf } from './methods/index.ts';
import type { CompiledAdapter } from './primitives.ts';
import { loraTargets, resolveTargets, targetsOf, withTying } from './targets.ts';

/** An adapter as values: PEFT's config and its tensors by PEFT's names. */
export interface Adapter {
  readonly config: PeftConfig;
  readonly tensors: AdapterTensors;
  /** Of a classifier. */
  readonly classes?: Classes;
}

/** What an artefact is checked against: a base model, or its config alone. */
export interface ArtefactBase extends AdapterBase {
  readonly sites: readonly LinearSite[];
}

export interface WrittenArtefact {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Writes a PEFT folder. Its digest covers the tensors, the settings that change the maths, and the base that they belong to. */
export function writeArtefact(directory: string, adapter: Adapter, baseDigest: string): WrittenArtefact {
  const sizeBytes = writePeftFolder(directory, adapter.config, adapter.tensors, adapter.classes);
  return { digest: artefactDigest(adapter, baseDigest), sizeBytes };
}

/** The identity of an adapter: two folders with the same digest answer alike, whatever they are called. */
export function artefactDigest({ config, tensors, classes }: Adapter, baseDigest: string): Digest {
  const labels = classes && { labels: classes.labels };
  return digestOfTensors(tensors, { base: baseDigest, config: configIdentity(config), ...labels });
}

/**
 * Reads a PEFT folder and checks it against the base: every tensor that the config promises is there with its size, and none is left
 * over.
 * @param files the folder's files if they are in memory already
 * @throws ADAPTER_INVALID names the file, every field or tensor that is wrong, and both sizes; TARGET_UNMATCHED CONFIG_INVALID
 */
export function readArtefact(directory: string, base: ArtefactBase, files?: PeftFiles): Adapter {
  const folder = readPeftFolder(directory, files);
  checkAgainstBase(folder, { directory, targets: modulesOf(folder.config, base), base });
  return folder;
}

/** The modules that an artefact has tensors for. @throws TARGET_UNMATCHED CONFIG_INVALID */
function modulesOf(config: PeftConfig, base: ArtefactBase): AdapterSite[] {
  if (config.peft_type === 'LORA') {
    const { hiddenSize: D, vocabSize: V } = base.config;
    const { linear, embedding, head } = withTying(config, loraTargets(config, base.sites), base.config);
    return [
      ...linear,
      ...(embedding ? [{ path: EMBEDDING_PATH, in: V, out: D }] : []),
      ...(head ? [{ path: HEAD_PATH, in: D, out: V }] : []),
    ];
  }
  if (config.peft_type !== 'LN_TUNING') return targetsOf(config, base.sites);
  const norms = resolveTargets(config, normSites(base.config));
  return norms.map(({ path, width }) => ({ path, in: width, out: width }));
}

/**
 * The adapter in row primitives, for this base and no other: some methods depend on the base's weights.
 * @throws ADAPTER_INVALID for values that its method cannot work with
 */
export function compileAdapter(adapter: Adapter, base: BaseModel): CompiledAdapter {
  const { config, tensors, classes } = adapter;
  const compiled = methodOf(config).compile(config, base, tensors);
  if (!classes) return compiled;
  const score_CD = requireTensor(tensors, scoreName(config));
  const head = { kind: 'classes', score_CD, ...classes } as const;
  return assembleAdapter({ ...compiled, head });
}
