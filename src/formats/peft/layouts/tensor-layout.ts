/** The tensors of a PEFT folder by method: their names, and their shapes on a given base. */
import type { Problem } from '../../../base/index.ts';

/** A module that an adapter may change: `model.layers.0.self_attn.q_proj`, W[out, in]. */
export interface AdapterSite {
  readonly path: string;
  readonly in: number;
  readonly out: number;
  /** The base's layer has a bias. */
  readonly hasBias?: boolean;
}

/** What an adapter's sizes are held against. A base model is one. */
export interface AdapterBase {
  readonly sites: readonly AdapterSite[];
  readonly config: {
    readonly hiddenSize: number;
    readonly vocabSize: number;
    readonly numLayers: number;
    readonly numKeyValueHeads: number;
    readonly headWidth: number;
    readonly contextLength: number;
    readonly tieEmbeddings: boolean;
    readonly queryKeyNorm?: boolean;
  };
}

export type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** A tensor that must be there. */
export interface ExpectedTensor {
  readonly name: string;
  /** A word stands for a length that is the tensor's own. */
  readonly shape: readonly (number | string)[];
  /** What asks for it: `model.layers.0.self_attn.q_proj, which has 12 inputs and 4 outputs`. */
  readonly whose: string;
  /** It may be missing: a copy of what another tensor says. */
  readonly isOptional?: boolean;
}

/** How a method stores an adapter. */
export interface TensorLayout {
  /** The path of the module that a tensor of this name is for, `''` for one of no module, undefined for a name that is none of the method's. */
  moduleOf(name: string): string | undefined;
  /** Every tensor of an adapter of these modules on this base. */
  expected(targets: readonly AdapterSite[], base: AdapterBase): ExpectedTensor[];
  /** The name of the tensor that this one is a copy of, where a folder holds both; a reader gets the one. */
  copyOf?(name: string): string | undefined;
  /** What of names and shapes is wrong whatever the base is, beyond names that are none of the method's. */
  problems?(tensors: Shapes): Problem[];
  /** What an unexpected name may come from. */
  explain?(name: string): string | undefined;
  /** What of the config does not fit the base. */
  misfits?(base: AdapterBase): Problem[];
}

/** The input embedding and the head of Llama-like models. */
export const EMBEDDING_PATH = 'model.embed_tokens';
export const HEAD_PATH = 'lm_head';

/** PEFT's wrapper around a module's path. */
const PREFIX = 'base_model.model.';

/** `base_model.model.` + path + `.` + suffix. */
export const tensorName = (path: string, suffix: string): string => `${PREFIX}${path}.${suffix}`;

export const shapeText = (shape: readonly (number | string)[]): string => `[${shape.join(', ')}]`;

export const describeSite = (site: AdapterSite): string =>
  `${site.path}, which has ${site.in} inputs and ${site.out} outputs`;

/** The module's path of a name that ends in one of `suffixes`. */
export function moduleByName(name: string, suffixes: readonly string[]): string | undefined {
  const suffix = suffixes.find((end) => name.endsWith(`.${end}`));
  if (suffix === undefined || !name.startsWith(PREFIX)) return undefined;
  const path = name.slice(PREFIX.length, -suffix.length - 1);
  return path === '' ? undefined : path;
}

/** What can be said of the tensors without a base. */
export function checkNames(layout: TensorLayout, tensors: Shapes): Problem[] {
  const problems: Problem[] = [];
  for (const name of tensors.keys()) {
    if (layout.moduleOf(name) !== undefined) continue;
    const reason = layout.explain?.(name) ?? 'belongs to no adapted module and is none of the method’s own';
    problems.push({ where: name, message: `tensor ${name} ${reason}` });
  }
  if (tensors.size === 0) problems.push({ where: 'tensors', message: 'the file has no tensors' });
  return [...problems, ...(layout.problems?.(tensors) ?? [])];
}

/** The tensors against the modules that the config chooses in the base: each is there with its shape, and none is left over. */
export function checkShapes(
  layout: TensorLayout,
  tensors: Shapes,
  targets: readonly AdapterSite[],
  base: AdapterBase,
): Problem[] {
  const expected = new Map(layout.expected(targets, base).map((tensor) => [tensor.name, tensor]));
  const paths = new Set([...base.sites.map(({ path }) => path), EMBEDDING_PATH, HEAD_PATH]);
  const problems: Problem[] = [];
  for (const [name, { shape }] of tensors) {
    const wanted = expected.get(name);
    if (!wanted) {
      problems.push({ where: name, message: `tensor ${name} ${describeLeftOver(layout, name, paths, targets)}` });
    } else if (!isShape(shape, wanted.shape)) {
      const message = `tensor ${name} is ${shapeText(shape)}, expected ${shapeText(wanted.shape)} for the base's ${wanted.whose}`;
      problems.push({ where: name, message });
    }
  }
  for (const { name, whose, isOptional } of expected.values()) {
    if (!tensors.has(name) && !isOptional)
      problems.push({ where: name, message: `tensor ${name} is missing: it is for ${whose}` });
  }
  return problems;
}

const isShape = (shape: readonly number[], wanted: ExpectedTensor['shape']): boolean =>
  shape.length === wanted.length &&
  wanted.every((length, index) => typeof length === 'string' || length === shape[index]);

function describeLeftOver(
  layout: TensorLayout,
  name: string,
  paths: ReadonlySet<string>,
  targets: readonly AdapterSite[],
): string {
  const path = layout.moduleOf(name) ?? name;
  if (!paths.has(path)) return `is for the module ${path}, which the base does not have`;
  return targets.some((site) => site.path === path)
    ? `is one that ${path} does not have with the settings of the config`
    : `is for the module ${path}, which the config does not target`;
}
