/** A base in NF4: what is quantised of it, its packed file, and folders that bitsandbytes' tensors lie in. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { EspalierError } from '../../src/base/index.ts';
import { openSafetensors } from '../../src/formats/index.ts';
import { loadBase, openBase, openSource, writeNf4Folder, type BaseModel } from '../../src/model/index.ts';
import { assertBitEqual } from '../../src/numeric/compare.ts';
import { loadNativeKernels, referenceKernels, type Floats } from '../../src/numeric/index.ts';
import { writeTinyBase } from '../support/tiny-base.ts';

const folder = mkdtempSync(join(tmpdir(), 'espalier-nf4-'));
after(() => rmSync(folder, { recursive: true }));
const kernels = loadNativeKernels({ threads: 1 });
const [dense, quantised] = [join(folder, 'dense'), join(folder, 'quantised')];
writeTinyBase(dense);
const written = writeNf4Folder(dense, quantised, kernels);

/** Every matrix of a base by its values. */
function matrices(base: BaseModel): Map<string, Float32Array> {
  const values = (weight: BaseModel['head']): Float32Array => Float32Array.from(base.kernels.thaw(weight));
  const linear = base.layers.flatMap(({ linear: roles }) =>
    Object.values(roles).map(({ site, weight }) => [`${site.path}.weight`, values(weight)] as const),
  );
  return new Map([['embedding', values(base.embedding)], ['head', values(base.head)], ...linear]);
}

function sameMatrices(actual: BaseModel, expected: BaseModel): void {
  const wanted = matrices(expected);
  assert.equal(wanted.size, 2 + 2 * 7);
  for (const [name, values] of matrices(actual)) assertBitEqual(values, wanted.get(name) as Float32Array, name);
}

test('the linear layers are in NF4, the table and the head in bfloat16', () => {
  const base = loadBase(dense, 'tiny', kernels, 'nf4');
  assert.deepEqual([base.format, base.embedding.format, base.head.format], ['nf4', 'bf16', 'bf16']);
  for (const { linear } of base.layers)
    for (const { weight } of Object.values(linear)) assert.equal(weight.format, 'nf4');
  const source = openSource(dense);
  const expected = (name: string, format: 'nf4' | 'bf16'): Floats => {
    const values = source.read(name);
    const oracle = referenceKernels();
    return Float32Array.from(oracle.thaw(oracle.freeze(values, values.length / 32, 32, format)));
  };
  const actual = matrices(base);
  assertBitEqual(actual.get('head') as Float32Array, expected('lm_head.weight', 'bf16'));
  const name = 'model.layers.1.self_attn.q_proj.weight';
  assertBitEqual(actual.get(name) as Float32Array, expected(name, 'nf4'));
  source.close();
});

test('a packed file and a folder of bitsandbytes give the base that is quantised in memory, bit for bit', () => {
  const expected = loadBase(dense, 'tiny', kernels, 'nf4');
  for (const path of [dense, quantised]) {
    sameMatrices(loadBase(path, 'tiny', kernels, 'nf4'), expected);
    const packed = { name: 'tiny', path, format: 'nf4', packedDirectory: join(folder, 'packed') } as const;
    sameMatrices(openBase(packed, kernels), expected);
    // The second time the file is there.
    sameMatrices(openBase(packed, kernels), expected);
  }
  const oracle = loadBase(quantised, 'tiny', referenceKernels(), 'nf4');
  sameMatrices(oracle, expected);
});

test('a folder of bitsandbytes opens in other formats by its dequantised values', () => {
  const inNf4 = matrices(loadBase(quantised, 'tiny', kernels, 'nf4'));
  const inF32 = matrices(loadBase(quantised, 'tiny', kernels, 'f32'));
  for (const [name, values] of inF32) {
    if (name.startsWith('model.')) assertBitEqual(values, inNf4.get(name) as Float32Array, name);
  }
});

test('what is written has bitsandbytes’ tensors and configuration, and the tokenizer', () => {
  assert.equal(written.numMatrices, 14);
  using file = openSafetensors(join(quantised, 'model.safetensors'));
  assert.equal(written.sizeBytes, readFileSync(join(quantised, 'model.safetensors')).length);
  const name = 'model.layers.0.mlp.down_proj.weight';
  const names = [...file.tensors.keys()].filter((key) => key.startsWith(name)).map((key) => key.slice(name.length));
  assert.deepEqual(names.sort(), [
    '',
    '.absmax',
    '.nested_absmax',
    '.nested_quant_map',
    '.quant_map',
    '.quant_state.bitsandbytes__nf4',
  ]);
  assert.deepEqual(file.tensors.get(name)?.shape, [(32 * 48) / 2, 1]);
  const config = JSON.parse(readFileSync(join(quantised, 'config.json'), 'utf8')) as Record<string, unknown>;
  assert.equal((config['quantization_config'] as Record<string, unknown>)['bnb_4bit_quant_type'], 'nf4');
  assert.equal(config['hidden_size'], 32);
  assert.ok(readFileSync(join(quantised, 'tokenizer.json')).length > 0);
  assert.throws(() => writeNf4Folder(quantised, join(folder, 'twice'), kernels), /is quantised already/);
});

test('other quantisations are refused by name', () => {
  const config = JSON.parse(readFileSync(join(quantised, 'config.json'), 'utf8')) as Record<string, unknown>;
  const settings = config['quantization_config'] as Record<string, unknown>;
  const path = join(quantised, 'config.json');
  for (const [field, value] of [
    ['quant_method', 'gptq'],
    ['bnb_4bit_quant_type', 'fp4'],
    ['load_in_8bit', true],
    ['load_in_4bit', false],
  ] as const) {
    writeFileSync(path, JSON.stringify({ ...config, quantization_config: { ...settings, [field]: value } }));
    const isRefused = (error: unknown): boolean =>
      error instanceof EspalierError &&
      error.code === 'MODEL_UNSUPPORTED' &&
      error.param === `quantization_config.${field}` &&
      error.message.includes(String(value));
    assert.throws(() => openSource(quantised), isRefused, field);
  }
});
