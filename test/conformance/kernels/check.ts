/**
 * The behaviour suite of a kernel set: the subject's results against the float64 oracle's, and laws that need no oracle.
 * A check throws an AssertionError when the subject is wrong; `mutants.test.ts` shows that each can.
 */
import assert from 'node:assert/strict';
import type { ToleranceName } from '../../../src/numeric/compare.ts';
import { assertBitEqual, assertClose, expectZero } from '../../../src/numeric/compare.ts';
import type { Floats, Kernels, PackingKernels } from '../../../src/numeric/kernels.ts';
import { referenceKernels } from '../../../src/numeric/reference/index.ts';
import { normalArray } from '../../support/random-arrays.ts';

/** What the suite runs against. */
export interface Subject {
  readonly kernels: PackingKernels;
  /** Sets how many threads the kernels use from the next call on. */
  setThreads(threads: number): void;
}

export type Method = Exclude<keyof PackingKernels, 'name'>;

export interface KernelCheck {
  readonly name: string;
  /** The kernels that this check can find wrong. */
  readonly methods: readonly Method[];
  run(subject: Subject): void;
}

/** Named results of a kernel call; zero-length arrays where a shape has a zero. */
export type Outputs = Readonly<Record<string, Floats | Uint8Array>>;

/** Makes arrays in a kernel set's own precision. */
export interface Arrays {
  /** A copy of the numbers, which are float32 values on both sides. */
  input(values: Float64Array): Floats;
  /** NaN everywhere: an element that is not written is noticed. */
  output(length: number): Floats;
}

/** One shape and setting: the same calls for the subject and for the oracle. */
export interface KernelCase {
  readonly label: string;
  readonly tolerance: ToleranceName | number;
  /** Outputs that must be exactly zero, where the oracle's are. */
  readonly zeros?: readonly string[];
  compute(kernels: Kernels, arrays: Arrays): Outputs;
}

/** Row counts with 0, 1 and primes, around the sizes of tiles and blocks. */
export const ROW_COUNTS: readonly number[] = [0, 1, 2, 3, 7, 13, 64, 133];
export const THREAD_COUNTS: readonly number[] = [1, 2, 3];

export const float32Arrays: Arrays = {
  input: (values) => Float32Array.from(values),
  output: (length) => new Float32Array(length).fill(NaN),
};

const float64Arrays: Arrays = {
  input: (values) => values.slice(),
  output: (length) => new Float64Array(length).fill(NaN),
};

const randomArrays = new Map<string, Float64Array>();

/** Standard normal numbers that a float32 can hold, the same array for the same name: not to be written. */
export function random(length: number, name: string): Float64Array {
  const key = `${name} ${length}`;
  const known = randomArrays.get(key);
  if (known) return known;
  const made = normalArray(length, name).map(Math.fround);
  randomArrays.set(key, made);
  return made;
}

const expectedOutputs = new WeakMap<KernelCase, Outputs>();

function expectedOf(kernelCase: KernelCase): Outputs {
  let expected = expectedOutputs.get(kernelCase);
  if (!expected) {
    expected = kernelCase.compute(referenceKernels(), float64Arrays);
    expectedOutputs.set(kernelCase, expected);
  }
  return expected;
}

/** A check that every case agrees with the oracle on one thread, and has the same bits on any number of threads. */
export function agreesWithReference(
  methods: readonly Method[],
  cases: readonly KernelCase[],
  name = `${methods.join(', ')}: the oracle's values, and one result for every thread count`,
): KernelCheck {
  assert.ok(cases.length > 0, 'a check has cases');
  return {
    name,
    methods,
    run(subject) {
      for (const kernelCase of cases) {
        const results = THREAD_COUNTS.map((threads) => {
          subject.setThreads(threads);
          return kernelCase.compute(subject.kernels, float32Arrays);
        });
        compareOutputs(kernelCase, results[0]);
        for (const [i, result] of results.entries()) {
          sameBits(result, results[0], `${kernelCase.label}, ${THREAD_COUNTS[i]} threads`);
        }
      }
    },
  };
}

function compareOutputs(kernelCase: KernelCase, actual: Outputs): void {
  const expected = expectedOf(kernelCase);
  assert.deepEqual(Object.keys(actual), Object.keys(expected));
  for (const [name, reference] of Object.entries(expected)) {
    const what = `${kernelCase.label}: ${name}`;
    if (reference.length === 0) {
      assert.equal(actual[name].length, 0, what);
    } else if (kernelCase.zeros?.includes(name)) {
      expectZero(reference, `the oracle's ${what}`);
      expectZero(actual[name], what);
    } else if (reference instanceof Uint8Array) {
      assertBitEqual(actual[name], reference, what);
    } else {
      assertClose(actual[name], reference, kernelCase.tolerance, what);
    }
  }
}

/** Asserts that two sets of results are the same bytes (both may have nothing where a shape has a zero). */
export function sameBits(actual: Outputs, expected: Outputs, what: string): void {
  for (const [name, values] of Object.entries(expected)) {
    if (values.length === 0) assert.equal(actual[name].length, 0, `${what}: ${name}`);
    else assertBitEqual(actual[name], values, `${what}: ${name}`);
  }
}

/** The elements of row `row` of an array of rows of `width`, as a view. */
export function rowOf<A extends Float64Array | Floats | Int32Array | Uint8Array>(
  array: A,
  row: number,
  width: number,
): A {
  return array.subarray(row * width, (row + 1) * width) as A;
}

/** A kernel set in which some methods are others. */
export function withMethods(kernels: PackingKernels, methods: Partial<PackingKernels>): PackingKernels {
  return new Proxy(kernels, {
    get(target, key) {
      const replaced: unknown = Reflect.get(methods, key);
      if (replaced !== undefined) return replaced;
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
