import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  canonicalJson,
  digestOfBytes,
  digestOfFile,
  digestOfFiles,
  digestOfTensors,
  type DigestibleTensor,
} from './digest.ts';

const tensors = new Map([
  ['a', { shape: [2], data: Float32Array.of(1, 2) }],
  ['b', { shape: [1, 1], data: Float32Array.of(3) }],
]);

test('files are hashed as their bytes, also beyond one chunk', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-digest-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const bytes = Buffer.alloc(5 * 2 ** 20, 'espalier');
  const [one, two] = [join(folder, 'one'), join(folder, 'two')];
  writeFileSync(one, bytes);
  writeFileSync(two, '');
  const expected = createHash('sha256').update(bytes).digest('hex');
  assert.equal(digestOfFile(one), `sha256:${expected}`);
  assert.equal(digestOfFiles([one]), digestOfFile(one));
  assert.equal(digestOfFile(two), digestOfBytes(''));
  assert.notEqual(digestOfFiles([one, two]), digestOfFiles([two, one]));
});

test('a tensor digest depends on names, dtypes, shapes, values and context, not on order', () => {
  const digest = digestOfTensors(tensors, { base: 'x', r: 2 });
  assert.equal(digestOfTensors(new Map([...tensors].reverse()), { r: 2, base: 'x' }), digest);
  const a = { shape: [2], data: Float32Array.of(1, 2) };
  const b = { shape: [1, 1], data: Float32Array.of(3) };
  const context = { base: 'x', r: 2 };
  const digestOf = (...pairs: [string, DigestibleTensor][]) => digestOfTensors(new Map(pairs), context);
  for (const [what, other] of Object.entries({
    name: digestOf(['a', a], ['c', b]),
    value: digestOf(['a', { shape: [2], data: Float32Array.of(1, -2) }], ['b', b]),
    shape: digestOf(['a', { shape: [2, 1], data: a.data }], ['b', b]),
    dtype: digestOf(['a', { shape: [2], data: new Uint8Array(a.data.buffer), dtype: 'I32' }], ['b', b]),
    tensor: digestOf(['a', a]),
    context: digestOfTensors(tensors, { base: 'y', r: 2 }),
  })) {
    assert.notEqual(other, digest, what);
  }
});

test('canonical JSON sorts keys at every depth and keeps the order of lists', () => {
  assert.equal(canonicalJson({ b: [{ d: 1, c: null }, 2], a: 'x' }), '{"a":"x","b":[{"c":null,"d":1},2]}');
});
