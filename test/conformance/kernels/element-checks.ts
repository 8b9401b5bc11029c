/** The kernels that work on one element at a time, the sum of squares, and the highest of a row. */
import assert from 'node:assert/strict';
import { assertBitEqual } from '../../../src/numeric/compare.ts';
import type { Kernels } from '../../../src/numeric/kernels.ts';
import { referenceKernels } from '../../../src/numeric/reference/index.ts';
import type { Arrays, KernelCase, KernelCheck, Outputs } from './check.ts';
import { agreesWithReference, float32Arrays, random, sameBits, THREAD_COUNTS } from './check.ts';

const LENGTHS: readonly number[] = [0, 1, 2, 3, 7, 13, 64, 133, 257, 50_021];

/** Normal numbers times 8, and the ends of the range where exp overflows a float32. */
const gates = (length: number): Float64Array => {
  const gate = random(length, 'gate').map((value) => value * 8);
  if (length > 13) gate.set([0, -20, 20, -88, 88, -200, 200, -1000, 1000], 2);
  return gate;
};

function swiglu(kernels: Kernels, arrays: Arrays, length: number, from = 0): Outputs {
  const part = (values: Float64Array) => arrays.input(values.subarray(from));
  const [gate, up, dy] = [part(gates(length)), part(random(length, 'up')), part(random(length, 'dy'))];
  const [y, dgate, dup] = [gate, gate, gate].map((a) => arrays.output(a.length));
  kernels.swigluForward(y, gate, up);
  kernels.swigluBackward(dgate, dup, dy, gate, up);
  return { y, dgate, dup };
}

function adamW(kernels: Kernels, arrays: Arrays, length: number, firstStep: number, from = 0): Outputs {
  const part = (values: Float64Array) => arrays.input(values.subarray(from));
  const [weights, moment1] = [part(random(length, 'weights')), part(random(length, 'm').map((m) => m / 8))];
  const moment2 = part(random(length, 'v').map((v) => Math.fround(v * v)));
  for (let step = firstStep; step < firstStep + 3; step++) {
    const options = {
      learningRate: 0.03,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.1,
      gradientScale: 0.25,
    };
    kernels.adamW(weights, part(random(length, `gradients ${step}`)), moment1, moment2, { ...options, step });
  }
  return { weights, moment1, moment2 };
}

const swigluCases: readonly KernelCase[] = LENGTHS.map((length) => ({
  label: `swiglu ${length}`,
  tolerance: 'f32Kernel',
  compute: (kernels, arrays) => swiglu(kernels, arrays, length),
}));

const adamWCases: readonly KernelCase[] = LENGTHS.flatMap((length) =>
  [1, 2, 1000].map((step) => ({
    label: `adamW ${length} from step ${step}`,
    tolerance: 'f32Kernel' as const,
    compute: (kernels: Kernels, arrays: Arrays) => adamW(kernels, arrays, length, step),
  })),
);

const axpyCases: readonly KernelCase[] = LENGTHS.flatMap((length) =>
  [1, -0.3, 0].map((alpha) => ({
    label: `axpy ${length} alpha=${alpha}`,
    tolerance: 'f32Kernel' as const,
    compute(kernels: Kernels, arrays: Arrays) {
      const y = arrays.input(random(length, 'y'));
      kernels.axpy(y, arrays.input(random(length, 'x')), alpha);
      return { y };
    },
  })),
);

const sumCases: readonly KernelCase[] = LENGTHS.map((length) => ({
  label: `sumSquares ${length}`,
  // A float32's square is exact in float64.
  tolerance: 'f64',
  zeros: length === 0 ? ['sum'] : [],
  compute: (kernels, arrays) => ({ sum: Float64Array.of(kernels.sumSquares(arrays.input(random(length, 'x')))) }),
}));

const elementAlone: KernelCheck = {
  name: 'swiglu, adamW and axpy: an element has the same bits at another place',
  methods: ['swigluForward', 'swigluBackward', 'adamW', 'axpy'],
  run({ kernels }) {
    const shifted = (outputs: Outputs, by: number): Outputs =>
      Object.fromEntries(Object.entries(outputs).map(([name, values]) => [name, values.slice(by)]));
    for (const length of LENGTHS.filter((n) => n > 5)) {
      for (const by of [1, 5]) {
        const what = `${length} shifted by ${by}`;
        const whole = swiglu(kernels, float32Arrays, length);
        sameBits(swiglu(kernels, float32Arrays, length, by), shifted(whole, by), `swiglu ${what}`);
        const step = adamW(kernels, float32Arrays, length, 1);
        sameBits(adamW(kernels, float32Arrays, length, 1, by), shifted(step, by), `adamW ${what}`);
        const [y, x] = [Float32Array.from(random(length, 'y')), Float32Array.from(random(length, 'x'))];
        const part = y.slice(by);
        kernels.axpy(y, x, 0.3);
        kernels.axpy(part, x.slice(by), 0.3);
        assertBitEqual(part, y.slice(by), `axpy ${what}`);
      }
    }
  },
};

const overDy: KernelCheck = {
  name: 'swigluBackward: either output may be written over dy',
  methods: ['swigluBackward'],
  run({ kernels }) {
    for (const length of LENGTHS.filter((n) => n > 0)) {
      const [gate, up, dy] = [gates(length), random(length, 'up'), random(length, 'dy')].map((a) =>
        Float32Array.from(a),
      );
      const expected = { dgate: new Float32Array(length), dup: new Float32Array(length) };
      kernels.swigluBackward(expected.dgate, expected.dup, dy, gate, up);
      const [overDgate, overDup] = [dy.slice(), dy.slice()];
      const [dgate, dup] = [new Float32Array(length), new Float32Array(length)];
      kernels.swigluBackward(overDgate, dup, overDgate, gate, up);
      kernels.swigluBackward(dgate, overDup, overDup, gate, up);
      sameBits({ dgate: overDgate, dup }, expected, `${length} over dgate`);
      sameBits({ dgate, dup: overDup }, expected, `${length} over dup`);
    }
  },
};

const highest: KernelCheck = {
  name: 'argmaxRows: the first of the highest numbers of each row, none beside a NaN, for every thread count',
  methods: ['argmaxRows'],
  run(subject) {
    const { kernels } = subject;
    for (const [N, V] of [
      [1, 1],
      [1, 133],
      [7, 1],
      [3, 2],
      [13, 64],
      [64, 257],
      [133, 1009],
    ]) {
      // Few different numbers: the highest is there several times.
      const x = Float32Array.from(random(N * V, 'x'), (value) => Math.round(value * 2) / 2);
      // A third of the rows hold a NaN, at any place.
      for (let n = 2; n < N; n += 3) x[n * V + ((7 * n) % V)] = NaN;
      const expected = new Int32Array(N);
      referenceKernels().argmaxRows(expected, x, N);
      assert.equal(expected.filter((at) => at < 0).length, Math.floor(N / 3));
      for (const threads of THREAD_COUNTS) {
        subject.setThreads(threads);
        const best = new Int32Array(N).fill(-2);
        kernels.argmaxRows(best, x, N);
        assert.deepEqual(best, expected, `${N} rows of ${V}, ${threads} threads`);
      }
    }
  },
};

export const elementChecks: readonly KernelCheck[] = [
  agreesWithReference(['swigluForward', 'swigluBackward'], swigluCases),
  overDy,
  agreesWithReference(['adamW'], adamWCases),
  agreesWithReference(['axpy'], axpyCases),
  agreesWithReference(['sumSquares'], sumCases),
  elementAlone,
  highest,
];
