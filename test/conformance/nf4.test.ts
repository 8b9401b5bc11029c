/** NF4 against bitsandbytes, bit for bit: codes, magnitudes, their own quantisation, and values, by both kernel sets; and its tensors in files. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { NF4_CODE_BOOK } from '../../src/base/index.ts';
import { dequantiseNf4, nf4Tensors, openSafetensors, parseSafetensors, readNf4 } from '../../src/formats/index.ts';
import { encodeSafetensors } from '../../src/formats/index.ts';
import { assertBitEqual } from '../../src/numeric/compare.ts';
import { loadNativeKernels, referenceKernels, type Nf4Quantised } from '../../src/numeric/index.ts';
import { GOLDEN, readGolden } from './goldens.ts';

/** Parts of a quantised matrix: hex, or the SHA-256 of the bytes. */
interface Parts {
  readonly codes: string;
  readonly absmax: string;
  readonly values: string;
  readonly nestedAbsmax?: string;
  readonly offset?: string;
}

interface Case {
  readonly name?: string;
  readonly shape: readonly [number, number];
  readonly weights?: string;
  readonly plain: Parts;
  readonly nested: Parts;
}

interface Golden {
  readonly codeBook: string;
  readonly nestedMap: string;
  readonly small: readonly Case[];
  readonly large: readonly Case[];
}

const golden = readGolden<Golden>('bitsandbytes', 'golden.json');
const kernels = loadNativeKernels();
const bytesOf = (array: Float32Array | Uint8Array): Buffer =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength);
const hex = (array: Float32Array | Uint8Array): string => bytesOf(array).toString('hex');
const digest = (array: Float32Array | Uint8Array): string => createHash('sha256').update(bytesOf(array)).digest('hex');
const floats = (text: string): Float32Array => new Float32Array(Uint8Array.from(Buffer.from(text, 'hex')).buffer);

/** The numbers of make.py's `pattern`. */
function pattern([rows, columns]: readonly [number, number]): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, i) => {
    const noise = (Math.imul(i, 2654435761) >>> 8) / 2 ** 23 - 1;
    return noise * (1 + ((Math.floor(i / 64) * 40503) % 97) / 128);
  });
}

/** What the magnitudes stand for after their own quantisation. */
function nestedMagnitudes({ nested }: Nf4Quantised): Float32Array {
  const { codes, absmax, map, offset } = nested;
  return Float32Array.from(codes, (code, i) => Math.fround(map[code] * absmax[Math.floor(i / 256)]) + offset);
}

function compare({ shape, weights, plain, nested }: Case, show: (array: Float32Array | Uint8Array) => string): void {
  const dense = weights === undefined ? pattern(shape) : floats(weights);
  const quantised = kernels.quantiseNf4(dense);
  assert.equal(show(quantised.codes), plain.codes, 'codes');
  assert.equal(show(quantised.codes), nested.codes);
  assert.equal(show(quantised.absmax), plain.absmax, 'absmax');
  assert.equal(hex(Float32Array.of(quantised.nested.offset)), nested.offset, 'offset');
  assert.equal(show(quantised.nested.codes), nested.absmax, 'codes of the magnitudes');
  assert.equal(show(quantised.nested.absmax), nested.nestedAbsmax, 'magnitudes of the magnitudes');
  const { codes, absmax } = quantised;
  for (const set of [kernels, referenceKernels()]) {
    const valuesOf = (magnitudes: Float32Array): Float32Array =>
      Float32Array.from(set.thaw(set.freezeNf4({ codes, magnitudes }, ...shape)));
    assert.equal(show(valuesOf(absmax)), plain.values, `values, ${set.name}`);
    assert.equal(
      show(valuesOf(nestedMagnitudes(quantised))),
      nested.values,
      `values of nested magnitudes, ${set.name}`,
    );
    const frozen = Float32Array.from(set.thaw(set.freeze(dense, ...shape, 'nf4')));
    assert.equal(show(frozen), nested.values, `values of a frozen matrix, ${set.name}`);
  }
}

test('the code book and the map of magnitudes', () => {
  assert.equal(hex(NF4_CODE_BOOK.slice()), golden.codeBook);
  assert.equal(hex(kernels.quantiseNf4(Float32Array.of(1)).nested.map), golden.nestedMap);
});

for (const one of golden.small) test(`${one.name}: as bitsandbytes quantises it`, () => compare(one, hex));

for (const one of golden.large) {
  test(`${one.shape.join(' × ')}: as bitsandbytes quantises it`, () => compare(one, digest));
}

test('tensors that bitsandbytes saved are read, and written as it saves them', () => {
  using file = openSafetensors(join(GOLDEN, 'bitsandbytes', 'matrix.safetensors'));
  const dense = pattern([24, 40]);
  const quantised = kernels.quantiseNf4(dense);
  for (const [name, nested] of [
    ['plain.weight', undefined],
    ['nested.weight', quantised.nested],
  ] as const) {
    const matrix = readNf4(file, name, 'matrix.safetensors');
    const magnitudes = nested ? nestedMagnitudes(quantised) : quantised.absmax;
    assert.deepEqual(matrix.shape, [24, 40]);
    assertBitEqual(matrix.codes, quantised.codes);
    assertBitEqual(matrix.magnitudes, magnitudes);
    const values = kernels.thaw(kernels.freezeNf4({ codes: quantised.codes, magnitudes }, 24, 40));
    assertBitEqual(dequantiseNf4(matrix), values);

    const { codes, absmax } = quantised;
    const written = new Map(nf4Tensors(name, { shape: [24, 40], codes, absmax, nested, dtype: 'float32' }));
    const names = [...file.tensors.keys()].filter((key) => key.startsWith(name));
    assert.deepEqual([...written.keys()].sort(), names.sort());
    const again = parseSafetensors(Buffer.concat(encodeSafetensors(written)), 'written');
    for (const key of names) {
      assert.equal(again.tensors.get(key)?.dtype, file.tensors.get(key)?.dtype, key);
      assert.deepEqual(again.tensors.get(key)?.shape.length, file.tensors.get(key)?.shape.length, key);
      if (key.includes('quant_state')) {
        const json = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes).toString());
        assert.deepEqual(json(again.read(key)), json(file.read(key)));
      } else assertBitEqual(again.read(key), file.read(key), key);
    }
  }
});

test('what is no sound NF4 is refused by name', () => {
  const { codes, absmax } = kernels.quantiseNf4(pattern([24, 40]));
  const tensors = (): Map<
    string,
    Parameters<typeof encodeSafetensors>[0] extends ReadonlyMap<string, infer T> ? T : never
  > => new Map(nf4Tensors('w', { shape: [24, 40], codes, absmax, dtype: 'float32' }));
  const refused = (message: RegExp, change: (made: ReturnType<typeof tensors>) => void): void => {
    const made = tensors();
    change(made);
    const file = parseSafetensors(Buffer.concat(encodeSafetensors(made)), 'f');
    assert.throws(() => readNf4(file, 'w', 'f'), message);
  };
  const bytes = (text: string) => ({ shape: [text.length], data: Buffer.from(text), dtype: 'U8' as const });
  const state = 'w.quant_state.bitsandbytes__nf4';
  const settings = { quant_type: 'nf4', blocksize: 64, dtype: 'float32', shape: [24, 40] };
  refused(/tensor w: is quantised as fp4, which is not supported/, (made) => {
    made.delete(state);
    made.set('w.quant_state.bitsandbytes__fp4', bytes('{}'));
  });
  refused(/blocksize is 128, expected 64/, (made) => {
    made.set(state, bytes(JSON.stringify({ ...settings, blocksize: 128 })));
  });
  refused(/shape is \[24\], expected two sizes/, (made) => {
    made.set(state, bytes(JSON.stringify({ ...settings, shape: [24] })));
  });
  refused(/tensor w: has 480 bytes, expected 960/, (made) => {
    made.set(state, bytes(JSON.stringify({ ...settings, shape: [48, 40] })));
  });
  refused(/w.absmax: has 14 numbers, expected 15/, (made) => {
    made.set('w.absmax', { shape: [14], data: absmax.subarray(1) });
  });
  refused(/w.quant_map: is not the code book of NF4/, (made) => {
    made.set('w.quant_map', { shape: [16], data: NF4_CODE_BOOK.toReversed() });
  });
});
