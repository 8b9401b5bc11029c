/** NF4 by its codes: the quantiser, and matrices made of codes that are there already. Its numbers are held to bitsandbytes' in nf4.test.ts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assertBitEqual } from '../../../src/numeric/compare.ts';
import type { Kernels, Nf4Codes, Nf4Quantised } from '../../../src/numeric/kernels.ts';
import { referenceKernels } from '../../../src/numeric/index.ts';
import { random, type KernelCheck } from './check.ts';

/** [O, I]: whole blocks in a row, blocks over rows, an odd count. */
const SHAPES = [
  [33, 64],
  [5, 192],
  [17, 37],
  [7, 50],
  [1, 1],
] as const;

/** Codes with magnitudes as the numbers that they stand for. */
function twice({ codes, nested }: Nf4Quantised): Nf4Codes {
  const { map, absmax, offset } = nested;
  const magnitudes = Float32Array.from(
    nested.codes,
    (code, i) => Math.fround(map[code] * absmax[Math.floor(i / 256)]) + offset,
  );
  return { codes, magnitudes };
}

const values = (kernels: Kernels, ...matrix: Parameters<Kernels['freezeNf4']>): Float32Array =>
  Float32Array.from(kernels.thaw(kernels.freezeNf4(...matrix)));

const quantiser: KernelCheck = {
  name: 'nf4: the quantiser gives the codes of a frozen matrix',
  methods: ['quantiseNf4'],
  run({ kernels }) {
    for (const [O, I] of SHAPES) {
      const weight = Float32Array.from(random(O * I, 'w'));
      const quantised = kernels.quantiseNf4(weight);
      const expected = Float32Array.from(referenceKernels().thaw(referenceKernels().freeze(weight, O, I, 'nf4')));
      assertBitEqual(values(kernels, twice(quantised), O, I), expected, `O=${O} I=${I}`);
      for (const [block, absmax] of quantised.absmax.entries()) {
        const largest = weight.subarray(64 * block, 64 * block + 64).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        assert.equal(absmax, largest, `the magnitude of block ${block}`);
      }
    }
  },
};

const fromCodes: KernelCheck = {
  name: 'nf4: a matrix of codes has their values',
  methods: ['freezeNf4'],
  run({ kernels }) {
    for (const [O, I] of SHAPES) {
      const codes = Uint8Array.from(random(Math.ceil((O * I) / 2), 'codes'), (value) => Math.floor(value * 1e6) & 255);
      const matrix = { codes, magnitudes: Float32Array.from(random(Math.ceil((O * I) / 64), 'magnitudes')) };
      const frozen = kernels.freezeNf4(matrix, O, I);
      assert.deepEqual([frozen.out, frozen.in, frozen.format], [O, I, 'nf4']);
      assertBitEqual(values(kernels, matrix, O, I), values(referenceKernels(), matrix, O, I), `O=${O} I=${I}`);
    }
  },
};

const packed: KernelCheck = {
  name: 'nf4: codes are packed as a frozen matrix is',
  methods: ['packNf4Into'],
  run({ kernels }) {
    const folder = mkdtempSync(join(tmpdir(), 'espalier-nf4-'));
    try {
      for (const [i, [O, I]] of SHAPES.entries()) {
        const weight = Float32Array.from(random(O * I, 'w'));
        const [bytes, expected] = [0xaa, 0x55].map((fill) =>
          new Uint8Array(kernels.packedBytes(O, I, 'nf4')).fill(fill),
        );
        const matrix = twice(kernels.quantiseNf4(weight));
        kernels.packNf4Into(bytes, matrix, O, I);
        kernels.packInto(expected, weight, O, I, 'nf4');
        assertBitEqual(bytes, expected, `O=${O} I=${I}`);
        const path = join(folder, String(i));
        writeFileSync(path, bytes);
        const mapped = kernels.thaw(kernels.mapWeights(path).matrix(0, O, I, 'nf4'));
        assertBitEqual(Float32Array.from(mapped), values(kernels, matrix, O, I));
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

export const nf4Checks: readonly KernelCheck[] = [quantiser, fromCodes, packed];
