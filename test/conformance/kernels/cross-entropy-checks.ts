/** Fused linear layer and cross-entropy: N rows of width D, a vocabulary of V. */
import assert from 'node:assert/strict';
import type { Kernels, WeightFormat } from '../../../src/numeric/kernels.ts';
import { WEIGHT_FORMATS } from '../../../src/numeric/kernels.ts';
import { indexArray } from '../../support/random-arrays.ts';
import type { Arrays, KernelCase, KernelCheck, Outputs } from './check.ts';
import { agreesWithReference, float32Arrays, random, ROW_COUNTS, rowOf, sameBits } from './check.ts';

interface LossShape {
  readonly N: number;
  readonly V: number;
  readonly D: number;
  readonly format: WeightFormat;
}

const VOCABULARIES: readonly (readonly [V: number, D: number])[] = [
  [1, 3],
  [2, 1],
  [7, 3],
  [97, 13],
  [1031, 64],
];
const shapes: readonly LossShape[] = [
  ...WEIGHT_FORMATS.flatMap((format) => ROW_COUNTS.flatMap((N) => VOCABULARIES.map(([V, D]) => ({ N, V, D, format })))),
  // More rows than one chunk of logits holds.
  { N: 853, V: 5003, D: 3, format: 'f32' },
];
const labelOf = ({ N, V, D, format }: LossShape): string => `N=${N} V=${V} D=${D} ${format}`;

/** Rows without weight are part of every batch. */
const weightsOf = (N: number): Float64Array => random(N, 'loss weights').map((w, n) => (n % 5 === 2 ? 0 : Math.abs(w)));

function loss(
  kernels: Kernels,
  arrays: Arrays,
  shape: LossShape,
  withGradient = true,
  from = 0,
  to = shape.N,
): Outputs {
  const { N, V, D, format } = shape;
  const x = arrays.input(random(N * D, 'x').subarray(from * D, to * D));
  const head = kernels.freeze(arrays.input(random(V * D, 'head')), V, D, format);
  const targets = indexArray(N, V, 'targets').subarray(from, to);
  const weights = arrays.input(weightsOf(N).subarray(from, to));
  const losses = arrays.output(to - from);
  const dx = withGradient ? arrays.output((to - from) * D) : null;
  const isTop = withGradient ? new Uint8Array(to - from).fill(7) : null;
  kernels.linearCrossEntropy(losses, dx, isTop, x, head, targets, weights, to - from);
  return { losses, ...(dx && { dx }), ...(isTop && { isTop }) };
}

const cases: readonly KernelCase[] = shapes.map((shape) => ({
  label: labelOf(shape),
  tolerance: 'f32Long',
  // One token is always certain.
  zeros: shape.V === 1 ? ['losses', 'dx'] : [],
  compute: (kernels, arrays) => loss(kernels, arrays, shape),
}));

const rowAlone: KernelCheck = {
  name: 'linearCrossEntropy: a row alone, and without its gradient, has the bits of the row in a batch',
  methods: ['linearCrossEntropy'],
  run({ kernels }) {
    for (const shape of shapes.filter(({ N }) => N > 1)) {
      const { N, D } = shape;
      const batch = loss(kernels, float32Arrays, shape);
      for (const n of [0, 1, Math.floor(N / 2), N - 1]) {
        const alone = loss(kernels, float32Arrays, shape, true, n, n + 1);
        const row = Object.entries(batch).map(([name, a]) => [name, rowOf(a, n, name === 'dx' ? D : 1)]);
        sameBits(alone, Object.fromEntries(row), `${labelOf(shape)} row ${n}`);
      }
      sameBits(loss(kernels, float32Arrays, shape, false), { losses: batch['losses'] }, `${labelOf(shape)} without dx`);
    }
  },
};

const extremes: KernelCase = {
  label: 'logits far beyond exp of a float32',
  tolerance: 'f32Kernel',
  compute(kernels, arrays) {
    const [losses, dx, isTop] = [arrays.output(3), arrays.output(3), new Uint8Array(3)];
    const head = kernels.freeze(arrays.input(Float64Array.of(1000, -1000, 999)), 3, 1, 'f32');
    const x = arrays.input(Float64Array.of(1, 1, -2));
    const weights = arrays.input(Float64Array.of(1, 1, 1));
    kernels.linearCrossEntropy(losses, dx, isTop, x, head, Int32Array.of(0, 1, 1), weights, 3);
    return { losses, dx, isTop };
  },
};

const ties: KernelCheck = {
  name: 'linearCrossEntropy: a target that shares the highest logit is on top',
  methods: ['linearCrossEntropy'],
  run({ kernels }) {
    const head = kernels.freeze(Float32Array.of(0.1, 0.7, 0.3, 0.7), 4, 1, 'f32');
    const isTop = new Uint8Array(4);
    const weights = new Float32Array(4).fill(1);
    const targets = Int32Array.of(0, 1, 2, 3);
    kernels.linearCrossEntropy(new Float32Array(4), null, isTop, weights.slice(), head, targets, weights, 4);
    assert.deepEqual([...isTop], [0, 1, 0, 1]);
  },
};

export const crossEntropyChecks: readonly KernelCheck[] = [
  agreesWithReference(['linearCrossEntropy'], [...cases, extremes]),
  rowAlone,
  ties,
];
