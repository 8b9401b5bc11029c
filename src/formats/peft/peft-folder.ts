import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { EspalierError, errorMessage, fail, writeFileAtomicSync, type Dtype, type Problem } from '../../base/index.ts';
import { fileInside } from '../folder.ts';
import { readWholeFile } from '../byte-source.ts';
import { parseJson, readJsonFile } from '../json.ts';
import { MAX_ADAPTER_BYTES, MAX_CONFIG_BYTES } from '../limits.ts';
import { classesMetadata, classesOf, isClassifier, scoreName, type Classes } from './classifier.ts';
import { parsePeftConfig, peftConfigText, type PeftConfig } from './peft-config.ts';
import { layoutOf } from './layouts/layout-of.ts';
import {
  checkNames,
  checkShapes,
  type AdapterBase,
  type AdapterSite,
  type TensorLayout,
} from './layouts/tensor-layout.ts';
import { openSafetensors, parseSafetensors, type SafetensorsFile } from '../safetensors/safetensors.ts';
import { writeSafetensors, type NamedTensor } from '../safetensors/safetensors-write.ts';

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';
const ADAPTER_PICKLE = 'adapter_model.bin';

/** Problems that an error's message lists; the rest are counted, and all are in `problems`. */
const MAX_LISTED = 10;

/** A tensor of an adapter, row-major: values are float32, whatever the file stores. */
export interface PeftTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
  readonly storedDtype: Dtype;
}

/** What a PEFT folder holds. */
export interface PeftFolder {
  readonly config: PeftConfig;
  /** By PEFT's names: `base_model.model.….lora_A.weight`. */
  readonly tensors: ReadonlyMap<string, PeftTensor>;
  /** Of a classifier. */
  readonly classes?: Classes;
}

/** The two files of a PEFT folder as bytes, each in a buffer of its own. */
export interface PeftFiles {
  readonly config: Uint8Array<ArrayBuffer>;
  readonly weights: Uint8Array<ArrayBuffer>;
}

/** Reads the files and looks at nothing in them. @throws ADAPTER_INVALID a file is missing or too large, or the weights are a pickle */
export function readPeftFiles(directory: string): PeftFiles {
  refusePickle(directory);
  return inAdapter(directory, () => ({
    config: readWholeFile(fileInside(directory, ADAPTER_CONFIG), MAX_CONFIG_BYTES),
    weights: readWholeFile(fileInside(directory, ADAPTER_WEIGHTS), MAX_ADAPTER_BYTES),
  }));
}

/**
 * Reads `adapter_config.json` and `adapter_model.safetensors`, and nothing else: not the base that the config names, not a pickle,
 * nothing outside the folder. Checks all that needs no base: fields, tensor names, partners, ranks, and that values are finite.
 * @param files the folder's files if they are in memory already: then no disk is read
 * @throws ADAPTER_INVALID names the file, and the field or tensor
 */
export function readPeftFolder(directory: string, files?: PeftFiles): PeftFolder {
  const config = readConfig(directory, files);
  using file = openWeights(directory, files);
  const shapeProblems = checkNames(layoutOf(config), file.tensors);
  refuseAll(directory, shapeProblems);
  const tensors = new Map<string, PeftTensor>();
  const valueProblems: Problem[] = [];
  for (const [name, { shape, dtype }] of file.tensors) {
    const data = inAdapter(directory, () => file.readFloats(name));
    const wrong = firstNotFinite(data);
    if (wrong >= 0) {
      const place = `row ${Math.floor(wrong / (shape[1] ?? 1))}, column ${wrong % (shape[1] ?? 1)}`;
      valueProblems.push({
        where: name,
        message: `tensor ${name} has the value ${data[wrong]} at ${place}, expected finite numbers`,
      });
    }
    tensors.set(name, { shape, data, storedDtype: dtype });
  }
  refuseAll(directory, valueProblems);
  refuseAll(directory, dropCopies(layoutOf(config), tensors));
  const classes = classesIn(directory, config, file);
  return { config, tensors, ...(classes && { classes }) };
}

/** What a classifier's folder says of its labels; undefined for an adapter that gives tokens. Reads no tensor. @throws ADAPTER_INVALID */
export function readClasses(directory: string): Classes | undefined {
  const config = readConfig(directory, undefined);
  using file = openWeights(directory, undefined);
  return classesIn(directory, config, file);
}

function classesIn(directory: string, config: PeftConfig, file: SafetensorsFile): Classes | undefined {
  if (!isClassifier(config)) return undefined;
  const classes = classesOf(file.metadata, scoreName(config), file.tensors);
  return 'problem' in classes ? refuseAll(directory, [classes.problem]) : classes;
}

/** Of tensors that are there twice the copies go. @returns copies that are none: which one would count is left open */
function dropCopies(layout: TensorLayout, tensors: Map<string, PeftTensor>): Problem[] {
  const problems: Problem[] = [];
  for (const [name, { data }] of tensors) {
    const original = layout.copyOf?.(name);
    const expected = original === undefined ? undefined : tensors.get(original)?.data;
    if (original === undefined || !expected) continue;
    tensors.delete(name);
    if (data.length === expected.length && data.every((value, i) => value === expected[i])) continue;
    problems.push({ where: name, message: `tensor ${name} is not the same as ${original}, which all modules share` });
  }
  return problems;
}

/** An exponent of ones is an infinity or a NaN. */
const NOT_FINITE = 0x7f800000;

/** The index of the first value that is no finite number, or -1. */
function firstNotFinite(values: Float32Array): number {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let largest = 0;
  // Without a branch for each number: every load goes through all of an adapter's.
  for (let i = 0; i < bits.length; i++) largest = Math.max(largest, bits[i] & 0x7fffffff);
  return largest < NOT_FINITE ? -1 : values.findIndex((value) => !Number.isFinite(value));
}

function readConfig(directory: string, files: PeftFiles | undefined): PeftConfig {
  const path = join(directory, ADAPTER_CONFIG);
  const json = inAdapter(directory, () => {
    if (!files) return readJsonFile(fileInside(directory, ADAPTER_CONFIG));
    const parsed = parseJson(files.config);
    return 'problem' in parsed ? fail('FILE_INVALID', `${path}: ${parsed.problem}`) : parsed.value;
  });
  return parsePeftConfig(json, path);
}

function openWeights(directory: string, files: PeftFiles | undefined): SafetensorsFile {
  if (files) return inAdapter(directory, () => parseSafetensors(files.weights, join(directory, ADAPTER_WEIGHTS)));
  refusePickle(directory);
  return inAdapter(directory, () => openSafetensors(fileInside(directory, ADAPTER_WEIGHTS)));
}

function refusePickle(directory: string): void {
  if (existsSync(join(directory, ADAPTER_WEIGHTS)) || !existsSync(join(directory, ADAPTER_PICKLE))) return;
  fail(
    'ADAPTER_INVALID',
    `${directory}: has only ${ADAPTER_PICKLE}, a Python pickle, which is never opened: save the adapter as ${ADAPTER_WEIGHTS}`,
    { param: ADAPTER_PICKLE },
  );
}

/** Errors of the files are errors of the adapter. */
function inAdapter<T>(directory: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error;
    const { param, problems } = error;
    const message =
      error.code === 'FILE_NOT_FOUND' ? `${directory}: is no PEFT folder: ${errorMessage(error)}` : error.message;
    return fail('ADAPTER_INVALID', message, { ...(param !== undefined && { param }), problems, cause: error });
  }
}

function refuseAll(directory: string, problems: readonly [Problem], file?: string): never;
function refuseAll(directory: string, problems: readonly Problem[], file?: string): void;
function refuseAll(directory: string, problems: readonly Problem[], file = ADAPTER_WEIGHTS): void {
  const [first] = problems;
  if (!first) return;
  const listed = problems.slice(0, MAX_LISTED).map(({ message }) => `${join(directory, file)}: ${message}`);
  if (problems.length > MAX_LISTED) listed.push(`and ${problems.length - MAX_LISTED} more problems`);
  fail('ADAPTER_INVALID', listed.join('\n'), { param: first.where, problems });
}

/**
 * Checks a folder against the base: what the config says of the base's sizes, and the tensors: every targeted module has its own, with the
 * base's sizes, and none is left over.
 * @param targets the sites that the config chooses, by PEFT's rules (adapters/ has them); none for a method that changes no module
 * @throws ADAPTER_INVALID names each field or tensor that is wrong, with both sizes
 */
export function checkAgainstBase(
  folder: PeftFolder,
  { directory, targets, base }: { directory: string; targets: readonly AdapterSite[]; base: AdapterBase },
): void {
  const layout = layoutOf(folder.config);
  refuseAll(directory, layout.misfits?.(base) ?? [], ADAPTER_CONFIG);
  refuseAll(directory, checkShapes(layout, folder.tensors, targets, base));
}

/**
 * A warning when the adapter names another base than the one it is used on. Names are no identity, the same base has many (a fork, a
 * local copy), so this is never an error: sizes that do not fit are.
 */
export function checkBaseName(config: PeftConfig, baseName: string): string | undefined {
  const { base_model_name_or_path: named } = config;
  if (named === null || named === '' || named === baseName) return undefined;
  return `${ADAPTER_CONFIG}: base_model_name_or_path is ${named}, but the adapter is used on ${baseName}`;
}

/**
 * Writes a PEFT folder that PEFT, vLLM and others load: weights first, then the config, each whole or not at all.
 * @param classes of a classifier, with a label for each row of its head
 * @returns the size of both files in bytes
 * @throws ADAPTER_INVALID when the tensors do not fit the config, or hold values that are not finite
 */
export function writePeftFolder(
  directory: string,
  config: PeftConfig,
  tensors: ReadonlyMap<string, NamedTensor>,
  classes?: Classes,
): number {
  refuseAll(directory, checkNames(layoutOf(config), tensors));
  for (const [name, { data }] of tensors) {
    const isSound = data instanceof Uint8Array || data.every((value) => Number.isFinite(value));
    if (!isSound) refuseAll(directory, [{ where: name, message: `tensor ${name} has values that are not finite` }]);
  }
  mkdirSync(directory, { recursive: true });
  const stored = new Map([...tensors].map(([name, tensor]) => [name, asFloat32(tensor)]));
  const weightBytes = writeSafetensors(join(directory, ADAPTER_WEIGHTS), stored, classes && classesMetadata(classes));
  return weightBytes + writeFileAtomicSync(join(directory, ADAPTER_CONFIG), [Buffer.from(peftConfigText(config))]);
}

/** Float64 is the oracle's precision, never an adapter's. */
function asFloat32(tensor: NamedTensor): NamedTensor {
  if (tensor.data instanceof Float64Array && tensor.dtype === undefined)
    return { ...tensor, data: tensor.data, dtype: 'F32' };
  return tensor;
}
