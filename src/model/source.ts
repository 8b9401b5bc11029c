import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fail, type Digest } from '../base/index.ts';
import {
  dequantiseNf4,
  describeProblem,
  digestOfFiles,
  findUnreadableQuantization,
  isFourBit,
  openGguf,
  openSafetensors,
  readJsonFile,
  readNf4,
  readShardIndex,
  type Nf4Tensor,
  type SafetensorsFile,
} from '../formats/index.ts';
import type { Nf4Codes } from '../numeric/index.ts';
import { parseGgufConfig, parseModelConfig, type ModelConfig } from './config.ts';
import { familyNamed } from './families/index.ts';
import { baseTensors, ggufName, unpermuteRows } from './tensor-names.ts';

/** A base on disk, tensor by tensor under Hugging Face's names, as float32. */
export interface WeightSource {
  readonly config: ModelConfig;
  /** Files that make up the base. */
  readonly files: readonly string[];
  digest(): Digest;
  read(name: string): Float32Array;
  /** The codes of a matrix that the files hold in NF4; undefined for any other tensor. */
  readNf4(name: string): Nf4Codes | undefined;
  close(): void;
}

/** @param path a `.gguf` file, or a folder with config.json and safetensors */
export function openSource(path: string): WeightSource {
  if (!existsSync(path)) fail('MODEL_NOT_FOUND', `${path}: there is no such file or folder`);
  const source = statSync(path).isDirectory() ? openFolder(path) : openGgufFile(path);
  return source;
}

function openFolder(folder: string): WeightSource {
  const path = join(folder, 'config.json');
  const json = readJsonFile(path);
  const problem = findUnreadableQuantization(json);
  if (problem) fail('MODEL_UNSUPPORTED', `${path}: ${describeProblem(problem)}`, { param: problem.field });
  const config = parseModelConfig(json, path);
  const single = join(folder, 'model.safetensors');
  const index = join(folder, 'model.safetensors.index.json');
  const files = existsSync(single) ? [single] : readShardIndex(index).files;
  const shards = files.map((file) => openSafetensors(file));
  const shardOf = (name: string): SafetensorsFile =>
    shards.find(({ tensors }) => tensors.has(name)) ??
    fail('MODEL_INVALID', `${folder}: tensor ${name} is missing`, { param: name });
  const checkShape = shapeCheck(config, folder);
  /** A matrix in NF4: its other tensors lie in the same shard. */
  const readCodes = (name: string): Nf4Tensor | undefined => {
    const shard = shardOf(name);
    if (!isFourBit(shard, name)) return undefined;
    const matrix = readNf4(shard, name, folder);
    checkShape(name, matrix.shape);
    return matrix;
  };
  return {
    config,
    files,
    digest: () => digestOfFiles([join(folder, 'config.json'), ...files]),
    read(name) {
      const quantised = readCodes(name);
      if (quantised) return dequantiseNf4(quantised);
      const shard = shardOf(name);
      checkShape(name, shard.tensors.get(name)?.shape);
      return shard.readFloats(name);
    },
    readNf4: readCodes,
    close: () => shards.forEach((shard) => shard.close()),
  };
}

function openGgufFile(path: string): WeightSource {
  const file = openGguf(path);
  const tokens = file.metadata.get('tokenizer.ggml.tokens');
  const vocabSize = Array.isArray(tokens) ? tokens.length : 0;
  const ropeFactors = file.tensors.has('rope_freqs.weight') ? [...file.readFloats('rope_freqs.weight')] : null;
  const extras = { vocabSize, ropeFactors };
  const config = parseGgufConfig(file.metadata, (name) => file.tensors.has(name), extras, path);
  const permutes = familyNamed(config.family)?.ggufPermutesQueryKey === true;
  const checkShape = shapeCheck(config, path);
  const read = (name: string): Float32Array => {
    if (!file.tensors.has(ggufName(name))) fail('MODEL_INVALID', `${path}: tensor ${ggufName(name)} is missing`);
    checkShape(name, file.tensors.get(ggufName(name))?.shape);
    const values = file.readFloats(ggufName(name));
    const isQueryOrKey = /\.self_attn\.[qk]_proj\.(weight|bias)$/.test(name);
    if (!permutes || !isQueryOrKey) return values;
    return unpermuteRows(values, config.headWidth, name.endsWith('.bias') ? 1 : config.hiddenSize);
  };
  return {
    config,
    files: [path],
    digest: () => digestOfFiles([path]),
    read,
    readNf4: () => undefined,
    close: () => file.close(),
  };
}

/** Refuses a tensor whose shape is not the one that the config implies. */
function shapeCheck(config: ModelConfig, where: string): (name: string, actual: readonly number[] | undefined) => void {
  const shapes = new Map(baseTensors(config).map(({ name, shape }) => [name, shape]));
  return (name, actual) => {
    const expected = shapes.get(name);
    if (expected && actual && expected.join() !== actual.join()) {
      fail(
        'MODEL_INVALID',
        `${where}: tensor ${name} has the shape [${actual.join(', ')}], config.json implies [${expected.join(', ')}]`,
        {
          param: name,
        },
      );
    }
  };
}
