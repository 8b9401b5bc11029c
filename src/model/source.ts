import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fail, type Digest } from '../base/index.ts';
import { digestOfFiles, openGguf, openSafetensors, readJsonFile, readShardIndex } from '../formats/index.ts';
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
  close(): void;
}

/** @param path a `.gguf` file, or a folder with config.json and safetensors */
export function openSource(path: string): WeightSource {
  if (!existsSync(path)) fail('MODEL_NOT_FOUND', `${path}: there is no such file or folder`);
  const source = statSync(path).isDirectory() ? openFolder(path) : openGgufFile(path);
  return source;
}

function openFolder(folder: string): WeightSource {
  const config = parseModelConfig(readJsonFile(join(folder, 'config.json')), join(folder, 'config.json'));
  const single = join(folder, 'model.safetensors');
  const index = join(folder, 'model.safetensors.index.json');
  const files = existsSync(single) ? [single] : readShardIndex(index).files;
  const shards = files.map((file) => openSafetensors(file));
  const read = (name: string): Float32Array => {
    const shard = shards.find(({ tensors }) => tensors.has(name));
    return shard
      ? shard.readFloats(name)
      : fail('MODEL_INVALID', `${folder}: tensor ${name} is missing`, { param: name });
  };
  return {
    config,
    files,
    digest: () => digestOfFiles([join(folder, 'config.json'), ...files]),
    read: checkedReader(
      config,
      folder,
      read,
      (name) => shards.find(({ tensors }) => tensors.has(name))?.tensors.get(name)?.shape,
    ),
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
  const read = (name: string): Float32Array => {
    if (!file.tensors.has(ggufName(name))) fail('MODEL_INVALID', `${path}: tensor ${ggufName(name)} is missing`);
    const values = file.readFloats(ggufName(name));
    const isQueryOrKey = /\.self_attn\.[qk]_proj\.(weight|bias)$/.test(name);
    if (!permutes || !isQueryOrKey) return values;
    return unpermuteRows(values, config.headWidth, name.endsWith('.bias') ? 1 : config.hiddenSize);
  };
  return {
    config,
    files: [path],
    digest: () => digestOfFiles([path]),
    read: checkedReader(config, path, read, (name) => file.tensors.get(ggufName(name))?.shape),
    close: () => file.close(),
  };
}

/** Refuses a tensor whose shape is not the one that the config implies. */
function checkedReader(
  config: ModelConfig,
  where: string,
  read: (name: string) => Float32Array,
  shapeOf: (name: string) => readonly number[] | undefined,
): (name: string) => Float32Array {
  const shapes = new Map(baseTensors(config).map(({ name, shape }) => [name, shape]));
  return (name) => {
    const [expected, actual] = [shapes.get(name), shapeOf(name)];
    if (expected && actual && expected.join() !== actual.join()) {
      fail(
        'MODEL_INVALID',
        `${where}: tensor ${name} has the shape [${actual.join(', ')}], config.json implies [${expected.join(', ')}]`,
        {
          param: name,
        },
      );
    }
    return read(name);
  };
}
