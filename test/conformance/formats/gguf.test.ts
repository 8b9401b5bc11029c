import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gguf as parseWithLibrary } from '@huggingface/gguf';
import { openGguf, parseGguf } from '../../../src/formats/index.ts';
import {
  assertRefused,
  GGUF_ARRAY,
  GGUF_TEXT,
  GGUF_U32,
  ggufFile,
  pair,
  temporaryFolder,
  tensorEntry,
  text,
  textPair,
  u32,
  u64,
  type GgufParts,
} from './build.ts';

const NAME = 'base.gguf';
const F32 = 0;
const Q4_1 = 3;
const Q5_K = 13;
const architecture = textPair('general.architecture', 'llama');
const data = new Uint8Array(Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7).buffer);

const refused = (parts: GgufParts, ...texts: string[]): void => {
  assertRefused(() => parseGguf(ggufFile(parts), NAME), 'FILE_INVALID', NAME, ...texts);
};

/** One sound file with every kind of value. */
const rich: GgufParts = {
  pairs: [
    architecture,
    pair('u8', 0, Buffer.from([200])),
    pair('i8', 1, Buffer.from([200])),
    pair('u16', 2, Buffer.from([0xff, 0xff])),
    pair('i16', 3, Buffer.from([0xff, 0xff])),
    pair('u32', GGUF_U32, u32(4_000_000_000)),
    pair('i32', 5, u32(4_000_000_000)),
    pair('f32', 6, Buffer.from(Float32Array.of(0.1).buffer)),
    pair('bool', 7, Buffer.from([1])),
    pair('u64', 10, u64(2n ** 63n)),
    pair('small', 10, u64(77)),
    pair('f64', 12, Buffer.from(Float64Array.of(0.1).buffer)),
    pair('words', GGUF_ARRAY, Buffer.concat([u32(GGUF_TEXT), u64(2), text('Ġé'), text('')])),
    pair(
      'grid',
      GGUF_ARRAY,
      Buffer.concat([u32(GGUF_ARRAY), u64(2), ...[1, 2].map((n) => Buffer.concat([u32(GGUF_U32), u64(1), u32(n)]))]),
    ),
    pair('general.alignment', GGUF_U32, u32(64)),
  ],
  tensors: [tensorEntry('a.weight', [4, 2], F32, 0), tensorEntry('b.bias', [2], F32, 64)],
  data: Buffer.concat([data, Buffer.alloc(32), data.subarray(8, 16)]),
  alignment: 64,
};

test('reads values, shapes and data as the public library does', async (t) => {
  const path = join(temporaryFolder(t), NAME);
  writeFileSync(path, ggufFile(rich));
  using file = openGguf(path);
  assert.deepEqual(file.tensors.get('a.weight')?.shape, [2, 4], 'row-major: [out, in]');
  assert.deepEqual([...file.readFloats('a.weight')], [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual([...file.readFloats('b.bias')], [2, 3]);
  assert.equal(file.metadata.get('u64'), 2n ** 63n);
  assert.equal(file.metadata.get('small'), 77, 'a 64-bit integer is a number where it is exact');

  const library = await parseWithLibrary(path, { allowLocalFile: true });
  const plain = (value: unknown): unknown => (typeof value === 'bigint' && value < 2n ** 53n ? Number(value) : value);
  for (const [key, value] of file.metadata) {
    assert.deepEqual(value, plain((library.metadata as Record<string, unknown>)[key]), key);
  }
  for (const { name, shape, offset } of library.tensorInfos) {
    assert.deepEqual(file.tensors.get(name)?.shape.toReversed(), shape.map(Number));
    assert.equal(file.tensors.get(name)?.byteOffset, Number(library.tensorDataOffset + offset));
  }
});

test('refuses what is no GGUF, or one that it does not read', () => {
  assertRefused(() => parseGguf(new Uint8Array(), NAME), 'FILE_INVALID', NAME, 'too short');
  refused({ magic: 'GGML' }, 'magic', 'GGML');
  refused({ magic: 'FUGG' }, 'magic', 'big-endian');
  for (const version of [0, 1, 4, 99]) refused({ version }, `version ${version}`);
  refused({ version: 0x03000000 }, 'big-endian');
  assertRefused(
    () => parseGguf(Buffer.from('version https://example.com/git-lfs/v1\n'), NAME),
    'FILE_INVALID',
    'Git LFS',
  );
});

test('a file that is cut anywhere is refused, never read past its end', () => {
  const whole = ggufFile(rich);
  assert.ok(parseGguf(whole, NAME));
  for (let length = 0; length < whole.length; length++) {
    assertRefused(() => parseGguf(whole.subarray(0, length), NAME), 'FILE_INVALID', NAME);
  }
});

test('counts and lengths are held against the file before anything is allocated', () => {
  refused({ numTensors: 2n ** 63n }, 'tensor count', String(2n ** 63n));
  refused({ numTensors: 900_000 }, 'tensor count 900000');
  refused({ numPairs: 2n ** 40n }, 'key-value count', String(2n ** 40n));
  refused({ pairs: [Buffer.concat([u64(2n ** 50n), Buffer.alloc(60)])] }, 'key of pair 0', String(2n ** 50n));
  refused({ pairs: [textPair('k'.repeat(70_000), 'x')] }, 'key of pair 0', 'at most');
  refused(
    { pairs: [architecture, pair('words', GGUF_ARRAY, Buffer.concat([u32(GGUF_TEXT), u64(2n ** 48n)]))] },
    'words',
    String(2n ** 48n),
  );
  refused({ pairs: [architecture, pair('words', GGUF_TEXT, u64(2n ** 60n))] }, 'words', String(2n ** 60n));
  const nested = Array.from({ length: 20_000 }, () => Buffer.concat([u32(GGUF_ARRAY), u64(1)]));
  refused({ pairs: [architecture, pair('deep', GGUF_ARRAY, Buffer.concat(nested))] }, 'deep', 'nested deeper');
});

test('refuses metadata that is not sound, naming the key', () => {
  refused({ pairs: [pair('general.architecture', 77, u32(0))] }, 'general.architecture', '77');
  refused({ pairs: [architecture, pair('x', GGUF_ARRAY, Buffer.concat([u32(13), u64(0)]))] }, 'x', 'element type 13');
  refused({ pairs: [textPair('general.name', 'x')] }, 'general.architecture');
  refused({ pairs: [pair('general.architecture', GGUF_U32, u32(1))] }, 'general.architecture', '1');
  refused({ pairs: [architecture, architecture] }, 'general.architecture', 'twice');
  refused(
    { pairs: [pair('general.architecture', GGUF_TEXT, Buffer.concat([u64(2), Buffer.from([0xc0, 0xaf])]))] },
    'general.architecture',
    'UTF-8',
  );
  for (const alignment of [0, 3, 2 ** 30]) {
    refused(
      { pairs: [architecture, pair('general.alignment', GGUF_U32, u32(alignment))] },
      'general.alignment',
      String(alignment),
    );
  }
});

test('refuses a tensor that is not sound, naming it', () => {
  const bad = (entry: Buffer, ...texts: string[]): void => refused({ tensors: [entry], data }, 'odd.weight', ...texts);
  bad(tensorEntry('odd.weight', [4, 2], 250, 0), '250');
  bad(tensorEntry('odd.weight', [2], F32, 4), 'offset 4 is not a multiple of the alignment 32');
  bad(tensorEntry('odd.weight', [4, 2], F32, 32), '32 bytes of data');
  bad(tensorEntry('odd.weight', [4, 2], F32, 2n ** 40n), String(2n ** 40n));
  bad(tensorEntry('odd.weight', [4, 2], F32, 2n ** 64n - 32n), String(2n ** 64n - 32n));
  bad(tensorEntry('odd.weight', [4, 0], F32, 0), 'dimension of 0');
  bad(tensorEntry('odd.weight', [30, 1], Q4_1, 0), '30', 'Q4_1');
  bad(tensorEntry('odd.weight', [2n ** 33n, 2n ** 33n], F32, 0), 'more elements');
  bad(tensorEntry('odd.weight', [1, 1, 1, 1, 8], F32, 0), '5 dimensions');
  bad(Buffer.concat([text('odd.weight'), u32(2 ** 32 - 1), Buffer.alloc(64)]), '4294967295 dimensions');
  refused({ tensors: [tensorEntry('n'.repeat(3000), [1], F32, 0)], data }, 'name of tensor 0');
});

test('tensors neither overlap nor share a name', () => {
  const twice = [tensorEntry('a.weight', [4], F32, 0), tensorEntry('b.weight', [4], F32, 0)];
  refused({ tensors: twice, data }, 'b.weight overlaps tensor a.weight by 16');
  const same = [tensorEntry('a.weight', [4], F32, 0), tensorEntry('a.weight', [4], F32, 0)];
  refused({ tensors: same, data }, 'a.weight stands twice');
  refused({ numTensors: 2, tensors: [tensorEntry('a.weight', [4], F32, 0)], data }, 'tensor');
});

test('a known type that cannot be read yet is refused when its values are asked for', () => {
  const tensors = [tensorEntry('a.weight', [256], Q5_K, 0)];
  const file = parseGguf(ggufFile({ tensors, data: Buffer.alloc(176) }), NAME);
  assert.equal(file.read('a.weight').length, 176);
  assertRefused(() => file.readFloats('a.weight'), 'FILE_INVALID', 'a.weight', 'Q5_K');
  assertRefused(() => file.readFloats('none'), 'FILE_INVALID', 'none');
});
