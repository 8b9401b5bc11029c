import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { dequantiser, READABLE_GGML_TYPES } from './ggml-blocks.ts';
import { GGML_TYPES } from './ggml-types.ts';

interface Golden {
  readonly types: Record<string, [id: number, blockSize: number, blockBytes: number]>;
  readonly cases: Record<string, { readonly blocks: string; readonly values: string }>;
}

const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/ggml/golden.json', import.meta.url), 'utf8'),
) as Golden;
const bytesOf = (hex: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(hex, 'hex'));

test('values of blocks are those of the gguf package, bit for bit', () => {
  for (const [type, { blocks, values }] of Object.entries(golden.cases)) {
    const actual = dequantiser(type)?.(bytesOf(blocks));
    assert.ok(actual, type);
    const expected = new Float32Array(bytesOf(values).buffer);
    assert.ok(expected.length >= 8 && expected.some((value) => value !== 0), type);
    assert.deepEqual(actual, expected, type);
  }
});

test('every type that is read has a golden case or is a plain cast', () => {
  assert.deepEqual([...READABLE_GGML_TYPES].sort(), [...Object.keys(golden.cases), 'F64'].sort());
  assert.deepEqual(
    [...(dequantiser('F64')?.(new Uint8Array(Float64Array.of(0.1, -2).buffer)) ?? [])],
    [Math.fround(0.1), -2],
  );
  assert.equal(dequantiser('Q5_K'), undefined);
  assert.equal(dequantiser('constructor'), undefined);
});

test('sizes of types are those of the gguf package', () => {
  const ours = [...GGML_TYPES].map(([id, { name, blockSize, blockBytes }]) => [name, [id, blockSize, blockBytes]]);
  assert.deepEqual(Object.fromEntries(ours), golden.types);
});
