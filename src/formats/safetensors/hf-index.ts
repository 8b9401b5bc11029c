import { dirname } from 'node:path';
import { fail } from '../../base/index.ts';
import { fileInside, isPlainRelative } from '../folder.ts';
import { isRecord, readJsonFile, show } from '../json.ts';
import { MAX_INDEX_BYTES, MAX_TENSORS } from '../limits.ts';

/** The shards of a model, from its `model.safetensors.index.json`. */
export interface ShardIndex {
  /** Paths of the shards, each once, in order of their names. */
  readonly files: readonly string[];
  /** The shard's path for each tensor. */
  readonly fileOf: ReadonlyMap<string, string>;
}

/**
 * Reads a shard index and makes sure that each shard is a file in the index's own folder.
 * @throws FILE_NOT_FOUND FILE_INVALID names the shard
 */
export function readShardIndex(path: string): ShardIndex {
  const folder = dirname(path);
  const names = parseShardIndex(readJsonFile(path, { maxBytes: MAX_INDEX_BYTES }), path);
  const paths = new Map([...new Set(names.values())].sort().map((name) => [name, shardPath(folder, name, path)]));
  return {
    files: [...paths.values()],
    fileOf: new Map([...names].map(([tensor, name]) => [tensor, paths.get(name) as string])),
  };
}

/** The shard's name for each tensor of an index's JSON. @throws FILE_INVALID */
export function parseShardIndex(json: unknown, where: string): Map<string, string> {
  const map = isRecord(json) ? json['weight_map'] : undefined;
  if (!isRecord(map))
    return fail('FILE_INVALID', `${where}: weight_map is ${show(map)}, expected an object`, { param: 'weight_map' });
  const entries = Object.entries(map);
  if (entries.length === 0 || entries.length > MAX_TENSORS) {
    fail('FILE_INVALID', `${where}: weight_map has ${entries.length} tensors, expected 1 to ${MAX_TENSORS}`);
  }
  const shards = new Map<string, string>();
  for (const [tensor, shard] of entries) {
    if (typeof shard !== 'string' || !isPlainRelative(shard) || !shard.endsWith('.safetensors')) {
      const message = `weight_map.${tensor} is ${show(shard)}, expected the name of a .safetensors file in the same folder`;
      return fail('FILE_INVALID', `${where}: ${message}`, { param: tensor });
    }
    shards.set(tensor, shard);
  }
  return shards;
}

function shardPath(folder: string, shard: string, where: string): string {
  try {
    return fileInside(folder, shard);
  } catch (error) {
    return fail('FILE_INVALID', `${where}: names the shard ${shard}, which is not in the folder: download it too`, {
      param: shard,
      cause: error,
    });
  }
}
