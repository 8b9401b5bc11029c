import { fail, type Digest } from '../base/index.ts';
import { digestOfTensors, readPeftFolder, writePeftFolder, type PeftConfig } from '../formats/index.ts';
import type { LinearSite } from '../model/index.ts';
import type { AdapterTensors } from './method.ts';
import { methodOf } from './methods/index.ts';
import type { CompiledAdapter } from './primitives.ts';

/** An adapter as values: PEFT's config and its tensors by PEFT's names. */
export interface Adapter {
  readonly config: PeftConfig;
  readonly tensors: AdapterTensors;
}

export interface WrittenArtefact {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Writes a PEFT folder. Its digest covers the tensors, the settings that change the maths, and the base that they belong to. */
export function writeArtefact(directory: string, adapter: Adapter, baseDigest: string): WrittenArtefact {
  const sizeBytes = writePeftFolder(directory, adapter.config, adapter.tensors);
  return { digest: artefactDigest(adapter, baseDigest), sizeBytes };
}

/** The identity of an adapter: two folders with the same digest answer alike, whatever they are called. */
export function artefactDigest({ config, tensors }: Adapter, baseDigest: string): Digest {
  const { base_model_name_or_path: _name, ...maths } = config;
  return digestOfTensors(tensors, { base: baseDigest, config: maths });
}

/**
 * Reads a PEFT folder and checks it against the base's sites: every tensor that the config promises is there with its shape, and
 * none is left over.
 * @throws ADAPTER_INVALID names the file, the tensor, and both shapes; TARGET_UNMATCHED CONFIG_INVALID
 */
export function readArtefact(directory: string, base: { readonly sites: readonly LinearSite[] }): Adapter {
  const adapter = readPeftFolder(directory);
  const wanted = new Map(
    methodOf(adapter.config)
      .parameters(adapter.config, base.sites)
      .map((p) => [p.name, p.shape]),
  );
  for (const [name, { shape }] of adapter.tensors) {
    const expected = wanted.get(name);
    if (!expected) {
      fail('ADAPTER_INVALID', `${directory}: tensor ${name} belongs to no module that the config and the base have`, {
        param: name,
      });
    }
    if (shape.length !== expected.length || shape.some((length, i) => length !== expected[i])) {
      fail(
        'ADAPTER_INVALID',
        `${directory}: tensor ${name} has the shape [${shape.join(', ')}], this base needs [${expected.join(', ')}]`,
        { param: name },
      );
    }
  }
  for (const name of wanted.keys()) {
    if (!adapter.tensors.has(name)) fail('ADAPTER_INVALID', `${directory}: tensor ${name} is missing`, { param: name });
  }
  return adapter;
}

export function compileAdapter(adapter: Adapter, sites: readonly LinearSite[]): CompiledAdapter {
  return methodOf(adapter.config).compile(adapter.config, sites, adapter.tensors);
}
