import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  encodeSafetensors,
  openSafetensors,
  parseSafetensors,
  writeSafetensors,
  type NamedTensor,
} from '../../../src/formats/index.ts';
import { assertRefused, safetensorsFile, temporaryFolder } from './build.ts';

const GOLDEN = new URL('../../golden/safetensors/', import.meta.url);
const NAME = 'weights.safetensors';
const f32 = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
const entry = (begin: number, end: number, shape: unknown = [2], dtype: unknown = 'F32'): unknown => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const refused = (file: Uint8Array, ...texts: string[]): void => {
  assertRefused(() => parseSafetensors(file, NAME), 'FILE_INVALID', NAME, ...texts);
};

interface Golden {
  readonly metadata: Record<string, string>;
  readonly tensors: Record<string, { dtype: string; shape: number[]; values: number[] }>;
}

const golden = JSON.parse(readFileSync(new URL('python.json', GOLDEN), 'utf8')) as Golden;

test('reads what Python wrote: dtypes, shapes and values', () => {
  const file = parseSafetensors(readFileSync(new URL('python.safetensors', GOLDEN)), NAME);
  assert.deepEqual([...file.tensors.keys()].sort(), Object.keys(golden.tensors).sort());
  assert.deepEqual({ ...file.metadata }, golden.metadata);
  let numFloats = 0;
  for (const [name, { dtype, shape, values }] of Object.entries(golden.tensors)) {
    assert.deepEqual(file.tensors.get(name)?.shape, shape, name);
    if (!/float/.test(dtype)) {
      assertRefused(() => file.readFloats(name), 'FILE_INVALID', name, 'expected floats');
      continue;
    }
    assert.deepEqual([...file.readFloats(name)], values.map(Math.fround), name);
    numFloats += values.length;
  }
  assert.ok(numFloats > 60, `${numFloats} floats`);
});

test('writes the bytes that Python writes, so that Python reads them', () => {
  const bytes = readFileSync(new URL('python.safetensors', GOLDEN));
  const file = parseSafetensors(bytes, NAME);
  const tensors = new Map<string, NamedTensor>();
  // Back to front: the order of the map does not matter.
  for (const [name, { dtype, shape }] of [...file.tensors].reverse())
    tensors.set(name, { dtype, shape, data: file.read(name) });
  assert.deepEqual(Buffer.concat(encodeSafetensors(tensors)), bytes);
});

test('floats are written as they are, or as the dtype that is asked for', (t) => {
  const path = join(temporaryFolder(t), NAME);
  const values = Float32Array.of(1.5, -0.0009765625, 3.1415927410125732, -0, 2 ** -140, 65504);
  const size = writeSafetensors(
    path,
    new Map<string, NamedTensor>([
      ['single', { shape: [2, 3], data: values }],
      ['double', { shape: [6], data: Float64Array.from(values) }],
      ['narrowed', { shape: [6], data: Float64Array.from(values), dtype: 'F32' }],
      ['brain', { shape: [6], data: values, dtype: 'BF16' }],
    ]),
    { format: 'pt', note: 'ünï' },
  );
  using file = openSafetensors(path);
  assert.equal(readFileSync(path).length, size);
  assert.equal(file.metadata['note'], 'ünï');
  assert.deepEqual(
    [...file.tensors].map(([name, { dtype }]) => [name, dtype]),
    [
      ['double', 'F64'],
      ['narrowed', 'F32'],
      ['single', 'F32'],
      ['brain', 'BF16'],
    ],
  );
  for (const name of ['single', 'double', 'narrowed']) assert.deepEqual(file.readFloats(name), values, name);
  // The nearest bfloat16: 8 significant bits, subnormals down to 2^-133.
  assert.deepEqual([...file.readFloats('brain')], [1.5, -0.0009765625, 3.140625, -0, 0, 65536]);
});

test('refuses a file that is too short or whose header length is absurd, before any allocation', () => {
  const sound = safetensorsFile({ a: entry(0, 8) }, f32(1, 2));
  assert.equal(parseSafetensors(sound, NAME).readFloats('a')[1], 2);
  refused(new Uint8Array(), '0 bytes', 'too short');
  refused(sound.subarray(0, 7), '7 bytes', 'too short');
  for (const length of [2n ** 64n - 1n, 2n ** 63n, 2n ** 53n + 1n, 2n ** 31n, BigInt(sound.length - 7)]) {
    refused(safetensorsFile({ a: entry(0, 8) }, f32(1, 2), length), 'header length', String(length));
  }
  refused(safetensorsFile('', f32()), 'header length is 0');
});

test('refuses a header that is not an object of JSON in UTF-8', () => {
  refused(safetensorsFile('{"a":'), 'header', 'JSON');
  refused(safetensorsFile('[]'), 'header', 'object');
  refused(safetensorsFile('null'), 'header', 'object');
  refused(safetensorsFile(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), 'header', 'UTF-8');
  refused(safetensorsFile('['.repeat(200_000)), 'header', 'deeper');
});

test('refuses an entry that is not sound, naming its tensor', () => {
  const data = f32(1, 2);
  const bad = (value: unknown, ...texts: string[]): void =>
    refused(safetensorsFile({ odd: value }, data), '"odd"', ...texts);
  bad(7, '7');
  bad(entry(0, 8, [2], 'F99'), 'F99');
  bad(entry(0, 8, [2], 'toString'), 'toString');
  bad(entry(0, 8, [3]), '12 bytes');
  bad(entry(0, 8, [2], 'F64'), '16 bytes');
  bad(entry(0, 8, [-2, -1]), '[-2,-1]');
  bad(entry(0, 8, [1.5]), '[1.5]');
  bad(entry(0, 8, '2'), 'shape');
  bad(entry(0, 8, [2 ** 40, 2 ** 40, 2 ** 40]), 'more bytes than can be counted');
  bad(
    entry(
      0,
      8,
      Array.from({ length: 40 }, () => 1),
    ),
    'shape',
  );
  bad(entry(8, 0), 'before');
  bad(entry(-8, 0), '[-8,0]');
  bad(entry(0.5, 8.5), '[0.5,8.5]');
  bad(entry(2 ** 40, 2 ** 40 + 8), 'past the end');
  bad({ dtype: 'F32', shape: [2] }, 'data_offsets');
  bad({ ...(entry(0, 8) as object), stride: 1 }, 'stride');
  refused(safetensorsFile({ ['n'.repeat(2000)]: entry(0, 8) }, data), 'name of more than');
});

test('every byte belongs to exactly one tensor', () => {
  const data = f32(1, 2, 3, 4);
  refused(safetensorsFile({ a: entry(0, 8), b: entry(4, 16, [3]) }, data), '"b" overlaps tensor "a" by 4');
  refused(safetensorsFile({ a: entry(0, 4, [1]), b: entry(8, 16) }, data), '4 bytes between tensor "a" and tensor "b"');
  refused(safetensorsFile({ a: entry(0, 8) }, data), '8 bytes after tensor "a"');
  refused(safetensorsFile({}, data), '16 bytes after the header');
  // A name that stands twice: JSON keeps the last, and the first one's bytes are a hole.
  refused(
    safetensorsFile(`{"a":${JSON.stringify(entry(0, 8))},"a":${JSON.stringify(entry(8, 16))}}`, data),
    '"a"',
    'twice',
  );
  refused(safetensorsFile({ a: entry(0, 8), b: entry(8, 16) }, data.subarray(0, 12)), '"b"', '12 bytes');
});

test('a tensor may be called __proto__, and metadata must be texts', () => {
  const file = parseSafetensors(safetensorsFile(`{"__proto__":${JSON.stringify(entry(0, 8))}}`, f32(5, 6)), NAME);
  assert.deepEqual([...file.readFloats('__proto__')], [5, 6]);
  assert.equal(({} as { dtype?: string }).dtype, undefined);
  refused(safetensorsFile({ __metadata__: { rank: 8 } }), '__metadata__.rank', '8');
  refused(safetensorsFile({ __metadata__: 'pt' }), '__metadata__');
});

test('says what a file is that is something else', () => {
  refused(Buffer.from('version https://example.com/git-lfs/v1\noid sha256:0\nsize 1\n'), 'Git LFS');
  refused(Buffer.from([0x80, 4, 0x95, 1, 0, 0, 0, 0, 0, 0, 0]), 'pickle');
  refused(Buffer.from('<!DOCTYPE html><title>404</title>'), 'web page');
});

test('missing files, folders and pipes are errors at once', (t) => {
  const folder = temporaryFolder(t);
  assertRefused(() => openSafetensors(join(folder, 'none')), 'FILE_NOT_FOUND', 'none');
  mkdirSync(join(folder, 'sub'));
  assertRefused(() => openSafetensors(join(folder, 'sub')), 'FILE_INVALID', 'regular file');
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  assertRefused(() => openSafetensors(join(folder, 'pipe')), 'FILE_INVALID', 'regular file');
});

test('a failed write leaves the old file and no temporary one', (t) => {
  const path = join(temporaryFolder(t), NAME);
  writeFileSync(path, 'old');
  const bad = new Map([['a', { shape: [3], data: Float32Array.of(1) }]]);
  assert.throws(() => writeSafetensors(path, bad), /shape \[3\]/);
  assert.equal(readFileSync(path, 'utf8'), 'old');
});
