/**
 * The only comparer of numbers. An error is relative to the reference's norm, ‖actual − reference‖₂ / ‖reference‖₂, so it does not
 * depend on the scale or length of what is compared; a comparison that could not fail (nothing to compare, a reference of
 * zeros) fails.
 */
import { AssertionError } from 'node:assert';
import type { Floats } from './kernels.ts';

/** How far results of one kind may be from their reference, and why. */
export const TOLERANCES = {
  /** One float32 kernel with sums of up to about a thousand terms: roundings of 2⁻²⁴ that partly cancel. */
  f32Kernel: 2e-6,
  /** Float32 in stages whose roundings add up, or longer sums: the gradient of a loss is a product, exponentials and a product. */
  f32Long: 1e-5,
  /** A whole float32 model against another implementation in float32: both sides round, in different orders. */
  goldenF32: 1e-4,
  /** Gradients of a whole model: a forward and a backward pass on both sides. */
  gradientF32: 1e-3,
  /** A float64 gradient against central differences: their truncation and cancellation, not the gradient's. */
  centralDifference: 1e-7,
  /** Float64 on both sides, sums in different orders. */
  f64: 1e-12,
} as const;

export type ToleranceName = keyof typeof TOLERANCES;

export interface Comparison {
  readonly passes: boolean;
  /** ‖actual − reference‖₂ / ‖reference‖₂; NaN where that means nothing. */
  readonly error: number;
  readonly tolerance: number;
  /** What is wrong, with the worst element; empty when the comparison passes. */
  readonly message: string;
}

/** Compares the whole of two arrays. Fails on different lengths, on nothing to compare, on a reference of zeros, and on NaN. */
export function compareToReference(
  actual: ArrayLike<number>,
  reference: ArrayLike<number>,
  tolerance: ToleranceName | number,
): Comparison {
  const limit = typeof tolerance === 'number' ? tolerance : TOLERANCES[tolerance];
  const refuse = (message: string): Comparison => ({ passes: false, error: NaN, tolerance: limit, message });
  if (actual.length !== reference.length)
    return refuse(`${actual.length} values, the reference has ${reference.length}`);
  if (reference.length === 0) return refuse('there is nothing to compare');
  let differences = 0;
  let norm = 0;
  let worst = 0;
  let worstDifference = -1;
  for (let i = 0; i < reference.length; i++) {
    const difference = Math.abs(actual[i] - reference[i]);
    differences += difference * difference;
    norm += reference[i] * reference[i];
    // The first element that is not a number is the worst one, and stays it.
    if (!(difference <= worstDifference) && !Number.isNaN(worstDifference)) {
      worst = i;
      worstDifference = difference;
    }
  }
  if (norm === 0) return refuse('a reference of zeros says nothing: use expectZero where exact zeros are right');
  const error = Math.sqrt(differences) / Math.sqrt(norm);
  if (!(error <= limit)) {
    const name = typeof tolerance === 'number' ? '' : ` (${tolerance})`;
    const element = `element ${worst} of ${actual.length} is ${actual[worst]}, expected ${reference[worst]}`;
    return { passes: false, error, tolerance: limit, message: `relative error ${error} > ${limit}${name}: ${element}` };
  }
  return { passes: true, error, tolerance: limit, message: '' };
}

/** Throws an AssertionError that says what differs unless {@link compareToReference} passes. */
export function assertClose(
  actual: ArrayLike<number>,
  reference: ArrayLike<number>,
  tolerance: ToleranceName | number,
  what = 'values',
): void {
  const { passes, message } = compareToReference(actual, reference, tolerance);
  if (!passes) refuseAt(what, message);
}

/** Throws an AssertionError unless every one of at least one element is exactly 0 (either sign). */
export function expectZero(actual: ArrayLike<number>, what = 'values'): void {
  if (actual.length === 0) refuseAt(what, 'there is nothing to compare');
  for (let i = 0; i < actual.length; i++) {
    if (actual[i] !== 0) refuseAt(what, `element ${i} of ${actual.length} is ${actual[i]}, expected exactly 0`);
  }
}

/** Throws an AssertionError unless both arrays have one type, one length, and the same bytes: −0 is not 0, and NaNs have payloads. */
export function assertBitEqual(
  actual: Floats | Uint8Array | Int32Array,
  expected: Floats | Uint8Array | Int32Array,
  what = 'values',
): void {
  if (actual.constructor !== expected.constructor) refuseAt(what, 'two types of array');
  if (actual.length !== expected.length) refuseAt(what, `${actual.length} values, expected ${expected.length}`);
  if (actual.length === 0) refuseAt(what, 'there is nothing to compare');
  const actualBytes = Buffer.from(actual.buffer, actual.byteOffset, actual.byteLength);
  const expectedBytes = Buffer.from(expected.buffer, expected.byteOffset, expected.byteLength);
  if (actualBytes.equals(expectedBytes)) return;
  const width = actual.BYTES_PER_ELEMENT;
  const hex = (bytes: Buffer, i: number): string => bytes.toString('hex', i * width, (i + 1) * width);
  for (let i = 0; i < actual.length; i++) {
    const [got, wanted] = [hex(actualBytes, i), hex(expectedBytes, i)];
    if (got !== wanted) {
      const values = `${actual[i]} (${got}), expected ${expected[i]} (${wanted})`;
      refuseAt(what, `element ${i} of ${actual.length} differs in its bits: ${values}`);
    }
  }
}

function refuseAt(what: string, message: string): never {
  throw new AssertionError({ message: `${what}: ${message}` });
}
