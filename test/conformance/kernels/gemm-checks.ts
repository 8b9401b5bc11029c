/** c (+)= alpha · A · B: A is [M, K], B is [K, N], each stored plainly or transposed. */
import { assertBitEqual } from '../../../src/numeric/compare.ts';
import type { GemmShape, Kernels } from '../../../src/numeric/kernels.ts';
import type { Arrays, KernelCase, KernelCheck } from './check.ts';
import { agreesWithReference, random } from './check.ts';

const SIZES: readonly (readonly [M: number, N: number, K: number])[] = [
  [0, 3, 2],
  [3, 0, 2],
  [3, 2, 0],
  [1, 1, 1],
  [1, 1, 97],
  [2, 3, 5],
  [7, 13, 3],
  [13, 7, 64],
  [64, 16, 133],
  [133, 8, 67],
  [1, 8, 577],
  [133, 577, 16],
  [16, 701, 331],
  [601, 9, 263],
];

const SETTINGS = [
  { alpha: 1, accumulate: false },
  { alpha: 1, accumulate: true },
  { alpha: -0.7, accumulate: false },
  { alpha: -0.7, accumulate: true },
];

const layouts = (): (readonly [boolean, boolean])[] =>
  [false, true].flatMap((transposeA) => [false, true].map((transposeB) => [transposeA, transposeB] as const));

function labelOf({ M, N, K, transposeA, transposeB, alpha, accumulate }: GemmShape): string {
  return `M=${M} N=${N} K=${K} A${transposeA ? 'ᵀ' : ''} B${transposeB ? 'ᵀ' : ''} alpha=${alpha} accumulate=${accumulate}`;
}

const cases: readonly KernelCase[] = SIZES.flatMap(([M, N, K]) =>
  layouts().flatMap(([transposeA, transposeB]) =>
    SETTINGS.map(({ alpha, accumulate }) => {
      const shape = { M, N, K, transposeA, transposeB, alpha, accumulate };
      // Of one sum alone, the terms are positive: an error relative to a sum that happens to cancel would say nothing.
      const termsOf = (values: Float64Array): Float64Array => (M * N === 1 ? values.map(Math.abs) : values);
      return {
        label: labelOf(shape),
        tolerance: 'f32Kernel' as const,
        zeros: K === 0 && !accumulate ? ['c'] : [],
        compute(kernels: Kernels, arrays: Arrays) {
          const [a, b, before] = [random(M * K, 'a'), random(K * N, 'b'), random(M * N, 'c before')].map(termsOf);
          const c = accumulate ? arrays.input(before) : arrays.output(M * N);
          kernels.gemm(c, arrays.input(a), arrays.input(b), shape);
          return { c };
        },
      };
    }),
  ),
);

const defaults: KernelCase = {
  label: 'a shape of three numbers means no transposition, alpha 1 and no accumulation',
  tolerance: 'f32Kernel',
  compute(kernels, arrays) {
    const c = arrays.output(15);
    kernels.gemm(c, arrays.input(random(21, 'a')), arrays.input(random(35, 'b')), { M: 3, N: 5, K: 7 });
    return { c };
  },
};

const pick = (
  matrix: Float32Array,
  rows: number,
  columns: number,
  isStoredByColumn: boolean,
  row: number,
): Float32Array => matrix.filter((_, i) => (isStoredByColumn ? i % rows : Math.floor(i / columns)) === row);

const elementAlone: KernelCheck = {
  name: 'gemm: a row or column alone has the bits of the row or column among others',
  methods: ['gemm'],
  run({ kernels }) {
    for (const [M, N, K] of SIZES.filter((size) => !size.includes(0))) {
      const [a, b] = [Float32Array.from(random(M * K, 'a')), Float32Array.from(random(K * N, 'b'))];
      for (const [transposeA, transposeB] of layouts()) {
        const shape = { M, N, K, transposeA, transposeB, alpha: 0.7 };
        const c = new Float32Array(M * N);
        kernels.gemm(c, a, b, shape);
        for (const m of [0, M - 1]) {
          const alone = new Float32Array(N);
          kernels.gemm(alone, pick(a, M, K, transposeA, m), b, { ...shape, M: 1 });
          assertBitEqual(alone, c.slice(m * N, (m + 1) * N), `${labelOf(shape)}: row ${m}`);
        }
        for (const n of [0, N - 1]) {
          const alone = new Float32Array(M);
          kernels.gemm(alone, a, pick(b, N, K, !transposeB, n), { ...shape, N: 1 });
          const column = c.filter((_, i) => i % N === n);
          assertBitEqual(alone, column, `${labelOf(shape)}: column ${n}`);
        }
      }
    }
  },
};

export const gemmChecks: readonly KernelCheck[] = [agreesWithReference(['gemm'], [...cases, defaults]), elementAlone];
