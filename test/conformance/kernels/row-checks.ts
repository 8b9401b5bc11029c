/** The kernels that work on one row at a time: norm, rotation, embedding. T rows, D width, H heads of width E. */
import { assertBitEqual } from '../../../src/numeric/compare.ts';
import type { Kernels } from '../../../src/numeric/kernels.ts';
import { WEIGHT_FORMATS } from '../../../src/numeric/kernels.ts';
import { cosSinTable, indexArray } from '../../support/random-arrays.ts';
import type { Arrays, KernelCase, KernelCheck, Outputs } from './check.ts';
import { agreesWithReference, float32Arrays, random, ROW_COUNTS, rowOf, sameBits } from './check.ts';

const MANY_ROWS = [...ROW_COUNTS, 401];

// Narrow rows get a large epsilon: without it their gradient is a difference of nearly equal numbers.
const normShapes = MANY_ROWS.flatMap((T) => [1, 2, 7, 64, 97, 577].map((D) => ({ T, D, epsilon: D < 7 ? 0.5 : 1e-5 })));
type NormShape = (typeof normShapes)[number];

function norm(kernels: Kernels, arrays: Arrays, { T, D, epsilon }: NormShape, from = 0, to = T): Outputs {
  const [x, dy, dxBefore] = ['x', 'dy', 'dx before'].map((name) =>
    arrays.input(random(T * D, name).subarray(from * D, to * D)),
  );
  const gain = arrays.input(random(D, 'gain'));
  const [y, rstd, dx] = [(to - from) * D, to - from, (to - from) * D].map((length) => arrays.output(length));
  kernels.rmsNormForward(y, rstd, x, gain, epsilon, to - from);
  kernels.rmsNormBackward(dx, dy, x, rstd, gain, to - from, false);
  kernels.rmsNormBackward(dxBefore, dy, x, rstd, gain, to - from, true);
  return { y, rstd, dx, dxAccumulated: dxBefore };
}

const normCases: readonly KernelCase[] = normShapes.map((shape) => ({
  label: `norm T=${shape.T} D=${shape.D}`,
  tolerance: 'f32Kernel',
  compute: (kernels, arrays) => norm(kernels, arrays, shape),
}));

const NUM_POSITIONS = 521;
const ropeShapes = MANY_ROWS.flatMap((T) =>
  [1, 3, 9].flatMap((H) => [2, 6, 64].flatMap((E) => [false, true].map((inverse) => ({ T, H, E, inverse })))),
);
type RopeShape = (typeof ropeShapes)[number];
const ropeTables = new Map([2, 6, 64].map((E) => [E, cosSinTable(NUM_POSITIONS, E).map(Math.fround)]));

function rope(kernels: Kernels, arrays: Arrays, { T, H, E, inverse }: RopeShape, from = 0, to = T): Outputs {
  const x = arrays.input(random(T * H * E, 'x').subarray(from * H * E, to * H * E));
  const table = arrays.input(ropeTables.get(E) ?? new Float64Array(0));
  const positions = indexArray(T, NUM_POSITIONS, 'positions').subarray(from, to);
  kernels.rope(x, positions, table, to - from, H, E, inverse);
  return { x };
}

const ropeCases: readonly KernelCase[] = ropeShapes.map((shape) => ({
  label: `rope T=${shape.T} H=${shape.H} E=${shape.E} inverse=${shape.inverse}`,
  tolerance: 'f32Kernel',
  compute: (kernels, arrays) => rope(kernels, arrays, shape),
}));

const rowAlone: KernelCheck = {
  name: 'norm and rope: a row alone has the bits of the row in a batch',
  methods: ['rmsNormForward', 'rmsNormBackward', 'rope'],
  run({ kernels }) {
    for (const shape of normShapes.filter(({ T }) => T > 1)) {
      const batch = norm(kernels, float32Arrays, shape);
      for (const t of [0, 1, shape.T - 1]) {
        const expected = Object.entries(batch).map(([name, a]) => [name, rowOf(a, t, a.length / shape.T)]);
        const alone = norm(kernels, float32Arrays, shape, t, t + 1);
        sameBits(alone, Object.fromEntries(expected), `norm T=${shape.T} D=${shape.D} row ${t}`);
      }
    }
    for (const shape of ropeShapes.filter(({ T }) => T > 1)) {
      const { T, H, E } = shape;
      const batch = rope(kernels, float32Arrays, shape);
      for (const t of [0, 1, T - 1]) {
        const alone = rope(kernels, float32Arrays, shape, t, t + 1);
        assertBitEqual(alone['x'], rowOf(batch['x'], t, H * E), `rope T=${T} H=${H} E=${E} row ${t}`);
      }
    }
  },
};

const embeddingCases: readonly KernelCase[] = WEIGHT_FORMATS.flatMap((format) =>
  MANY_ROWS.flatMap((T) =>
    [[1, 1] as const, [7, 3] as const, [97, 64] as const, [503, 129] as const].map(([V, D]) => ({
      label: `embedding T=${T} V=${V} D=${D} ${format}`,
      // A copy of values that a float32 holds: nothing may be lost.
      tolerance: 0,
      compute(kernels: Kernels, arrays: Arrays) {
        const table = kernels.freeze(arrays.input(random(V * D, 'table')), V, D, format);
        const y = arrays.output(T * D);
        kernels.embeddingForward(y, table, indexArray(T, V, 'token ids'), T);
        return { y };
      },
    })),
  ),
);

export const rowChecks: readonly KernelCheck[] = [
  agreesWithReference(['rmsNormForward', 'rmsNormBackward'], normCases),
  agreesWithReference(['rope'], ropeCases),
  rowAlone,
  agreesWithReference(['embeddingForward'], embeddingCases),
];
