/** x·Wᵀ and dy·W with a frozen W [O, I], T rows; the formats, and files of packed matrices. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assertBitEqual } from '../../../src/numeric/compare.ts';
import type { Floats, Kernels, WeightFormat } from '../../../src/numeric/kernels.ts';
import { WEIGHT_FORMATS } from '../../../src/numeric/kernels.ts';
import { referenceKernels } from '../../../src/numeric/reference/index.ts';
import type { Arrays, KernelCase, KernelCheck, Outputs } from './check.ts';
import { agreesWithReference, float32Arrays, random, ROW_COUNTS, rowOf, sameBits, withMethods } from './check.ts';

interface LinearShape {
  readonly T: number;
  readonly O: number;
  readonly I: number;
}

const WIDTHS: readonly (readonly [O: number, I: number])[] = [
  [1, 1],
  [0, 3],
  [3, 0],
  [2, 5],
  [1, 37],
  [16, 64],
  [17, 31],
  [67, 129],
];
/** Large enough to be split over threads, and longer than the blocks of rows and of k. */
const LARGE: readonly LinearShape[] = [
  { T: 1, O: 1543, I: 577 },
  { T: 12, O: 515, I: 331 },
  { T: 13, O: 331, I: 641 },
  { T: 263, O: 53, I: 41 },
];
const SHAPES = [...ROW_COUNTS.flatMap((T) => WIDTHS.map(([O, I]) => ({ T, O, I }))), ...LARGE];

const weightOf = ({ O, I }: LinearShape): Float64Array => random(O * I, `w ${O} ${I}`);

/** y and dx of all T rows of the shape, or only of `rows`. */
function compute(
  kernels: Kernels,
  arrays: Arrays,
  shape: LinearShape,
  format: WeightFormat,
  accumulate: boolean,
  rows?: readonly [from: number, to: number],
): Outputs {
  const { T, O, I } = shape;
  const [from, to] = rows ?? [0, T];
  const part = (name: string, width: number): Floats =>
    arrays.input(random(T * width, name).subarray(from * width, to * width));
  const weight = kernels.freeze(arrays.input(weightOf(shape)), O, I, format);
  const y = accumulate ? part('y before', O) : arrays.output((to - from) * O);
  const dx = accumulate ? part('dx before', I) : arrays.output((to - from) * I);
  kernels.linearForward(y, part('x', I), weight, to - from, accumulate);
  kernels.linearBackward(dx, part('dy', O), weight, to - from, accumulate);
  return { y, dx };
}

const labelOf = ({ T, O, I }: LinearShape, format: WeightFormat): string => `T=${T} O=${O} I=${I} ${format}`;

const cases: readonly KernelCase[] = [false, true].flatMap((accumulate) =>
  WEIGHT_FORMATS.flatMap((format) =>
    SHAPES.map((shape) => ({
      label: `${labelOf(shape, format)} accumulate=${accumulate}`,
      tolerance: 'f32Kernel' as const,
      // A product over no terms.
      zeros: accumulate ? [] : [...(shape.I === 0 ? ['y'] : []), ...(shape.O === 0 ? ['dx'] : [])],
      compute: (kernels: Kernels, arrays: Arrays) => compute(kernels, arrays, shape, format, accumulate),
    })),
  ),
);

const LAW_SHAPES: readonly LinearShape[] = [
  { T: 2, O: 3, I: 5 },
  { T: 12, O: 17, I: 331 },
  { T: 13, O: 67, I: 129 },
  { T: 263, O: 19, I: 23 },
];

const rowAlone: KernelCheck = {
  name: 'linear: a row alone has the bits of the row in a batch',
  methods: ['linearForward', 'linearBackward'],
  run({ kernels }) {
    for (const format of WEIGHT_FORMATS) {
      for (const accumulate of [false, true]) {
        for (const shape of LAW_SHAPES) {
          const { T, O, I } = shape;
          const batch = compute(kernels, float32Arrays, shape, format, accumulate);
          for (const t of [0, 1, Math.floor(T / 2), T - 1]) {
            const alone = compute(kernels, float32Arrays, shape, format, accumulate, [t, t + 1]);
            const expected = { y: rowOf(batch['y'], t, O), dx: rowOf(batch['dx'], t, I) };
            sameBits(alone, expected, `${labelOf(shape, format)} accumulate=${accumulate} row ${t}`);
          }
        }
      }
    }
  },
};

const outputAlone: KernelCheck = {
  name: 'linear: an output alone has the bits of the output among others',
  methods: ['linearForward'],
  run({ kernels }) {
    for (const format of WEIGHT_FORMATS) {
      for (const { T, O, I } of LAW_SHAPES) {
        const x = Float32Array.from(random(T * I, 'x'));
        const w = Float32Array.from(weightOf({ T, O, I }));
        const [y, yAlone] = [new Float32Array(T * O), new Float32Array(T)];
        const whole = kernels.freeze(w, O, I, format);
        kernels.linearForward(y, x, whole, T, false);
        for (const o of [0, O - 1]) {
          // A block of NF4 may reach into the next output: its values are those that it has among others.
          const alone =
            format === 'nf4'
              ? kernels.freeze(Float32Array.from(rowOf(kernels.thaw(whole), o, I)), 1, I, 'f32')
              : kernels.freeze(rowOf(w, o, I).slice(), 1, I, format);
          kernels.linearForward(yAlone, x, alone, T, false);
          const expected = y.filter((_, i) => i % O === o);
          assertBitEqual(yAlone, expected, `${labelOf({ T, O, I }, format)} output ${o}`);
        }
      }
    }
  },
};

const formats: KernelCheck = {
  name: 'freeze and thaw: exactly the values that the format defines',
  methods: ['freeze', 'thaw'],
  run({ kernels }) {
    for (const format of WEIGHT_FORMATS) {
      for (const [O, I] of [...WIDTHS, [97, 101] as const].filter(([outputs, inputs]) => outputs * inputs > 0)) {
        const [matrix, expected] = [kernels, referenceKernels()].map((set) =>
          set.freeze(Float32Array.from(weightOf({ T: 0, O, I })), O, I, format),
        );
        const what = `O=${O} I=${I} ${format}`;
        assert.deepEqual([matrix.out, matrix.in, matrix.format], [O, I, format]);
        assertBitEqual(
          Float32Array.from(kernels.thaw(matrix)),
          Float32Array.from(referenceKernels().thaw(expected)),
          what,
        );
      }
      // Halves of a step of both formats, a row of zeros, the largest and the smallest numbers.
      const edges = Float32Array.of(
        127,
        2.5,
        -3.5,
        1 + 2 ** -8,
        0,
        0,
        0,
        -0,
        3e38,
        -3e38,
        1e30,
        1,
        1e-40,
        -1e-40,
        0,
        3e-41,
      );
      const expected = referenceKernels().thaw(referenceKernels().freeze(edges, 4, 4, format));
      const thawed = kernels.thaw(kernels.freeze(edges, 4, 4, format));
      assertBitEqual(Float32Array.from(thawed), Float32Array.from(expected), `edges ${format}`);
    }
  },
};

const formatLaw: KernelCheck = {
  name: 'linear: W in a format gives the bits of its thawed copy in f32',
  methods: ['linearForward', 'linearBackward', 'freeze', 'thaw'],
  run({ kernels }) {
    for (const format of WEIGHT_FORMATS) {
      for (const shape of LAW_SHAPES) {
        const results = compute(kernels, float32Arrays, shape, format, false);
        const values = kernels.thaw(kernels.freeze(Float32Array.from(weightOf(shape)), shape.O, shape.I, format));
        const thawed = withMethods(kernels, { freeze: () => kernels.freeze(values, shape.O, shape.I, 'f32') });
        sameBits(results, compute(thawed, float32Arrays, shape, 'f32', false), labelOf(shape, format));
      }
    }
  },
};

const packedFile: KernelCheck = {
  name: 'packed file: a mapped matrix is the frozen matrix, bit for bit',
  methods: ['packInto', 'packedBytes', 'mapWeights', 'layoutName'],
  run({ kernels }) {
    const folder = mkdtempSync(join(tmpdir(), 'espalier-packed-'));
    try {
      for (const format of WEIGHT_FORMATS) {
        const shapes = LAW_SHAPES.map((shape) => ({ ...shape, weight: Float32Array.from(weightOf(shape)) }));
        const parts = shapes.map(({ O, I, weight }) => {
          const bytes = new Uint8Array(kernels.packedBytes(O, I, format)).fill(0xaa);
          kernels.packInto(bytes, weight, O, I, format);
          assert.equal(bytes.length % 64, 0);
          return bytes;
        });
        const path = join(folder, `${format}.packed`);
        // One matrix after the other, behind 64 bytes of something else.
        writeFileSync(path, Buffer.concat([new Uint8Array(64).fill(0xff), ...parts]));
        const mapped = kernels.mapWeights(path);
        let offset = 64;
        for (const [i, shape] of shapes.entries()) {
          const matrix = mapped.matrix(offset, shape.O, shape.I, format);
          offset += parts[i].length;
          const frozen = kernels.freeze(shape.weight, shape.O, shape.I, format);
          assertBitEqual(kernels.thaw(matrix), kernels.thaw(frozen), labelOf(shape, format));
          const fromFile = withMethods(kernels, { freeze: () => matrix });
          const expected = compute(kernels, float32Arrays, shape, format, false);
          sameBits(compute(fromFile, float32Arrays, shape, format, false), expected, labelOf(shape, format));
        }
        assert.throws(() => mapped.matrix(offset, 1, 1, format), Error, 'a matrix beyond the end of the file');
      }
      const names = WEIGHT_FORMATS.map((format) => kernels.layoutName(format));
      assert.equal(new Set(names).size, WEIGHT_FORMATS.length, `layouts ${names.join(', ')} are told apart`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

export const linearChecks: readonly KernelCheck[] = [
  agreesWithReference(['linearForward', 'linearBackward', 'freeze'], cases),
  rowAlone,
  outputAlone,
  formats,
  formatLaw,
  packedFile,
];
