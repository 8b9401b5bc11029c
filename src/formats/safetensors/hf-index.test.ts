import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { EspalierError } from '../../base/index.ts';
import { isPlainRelative } from '../folder.ts';
import { readShardIndex } from './hf-index.ts';

test('names the shards in order and refuses those that are elsewhere or missing', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'espalier-index-'));
  t.after(() => rmSync(root, { recursive: true }));
  const folder = join(root, 'model');
  mkdirSync(folder);
  const path = join(folder, 'model.safetensors.index.json');
  const read = (json: unknown): ReturnType<typeof readShardIndex> => {
    writeFileSync(path, JSON.stringify(json));
    return readShardIndex(path);
  };
  for (const name of ['model-1.safetensors', 'model-2.safetensors']) writeFileSync(join(folder, name), '');
  writeFileSync(join(root, 'secret.safetensors'), '');
  const { files, fileOf } = read({
    weight_map: { b: 'model-2.safetensors', a: 'model-1.safetensors', c: 'model-2.safetensors' },
  });
  assert.deepEqual(files, [join(folder, 'model-1.safetensors'), join(folder, 'model-2.safetensors')]);
  assert.equal(fileOf.get('c'), files[1]);

  symlinkSync(join('..', 'secret.safetensors'), join(folder, 'link.safetensors'));
  for (const [shard, named] of [
    ['../secret.safetensors', '../secret.safetensors'],
    [join(root, 'secret.safetensors'), 'secret.safetensors'],
    ['link.safetensors', 'link.safetensors'],
    ['model-9.safetensors', 'model-9.safetensors'],
    ['model-1.bin', 'model-1.bin'],
    [7, '7'],
  ] as const) {
    const isNamed = (error: unknown): boolean =>
      error instanceof EspalierError && error.code === 'FILE_INVALID' && error.message.includes(named);
    assert.throws(() => read({ weight_map: { a: shard } }), isNamed);
  }
  for (const json of [[], {}, { weight_map: [] }, { weight_map: {} }]) {
    assert.throws(() => read(json), /weight_map/);
  }
});

test('a plain relative name stays in its folder', () => {
  for (const name of ['a', 'a/b.c', 'a..b', '...']) assert.ok(isPlainRelative(name), name);
  for (const name of ['', '..', 'a/../../b', '/a', '\\a', 'C:a', 'a\\..\\..\\b', 'a\0'])
    assert.ok(!isPlainRelative(name), name);
});
