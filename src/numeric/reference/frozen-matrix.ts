/** What a stored weight stands for: every format, rounded one element at a time. O outputs, I inputs, V vocabulary, D width. */
import { assert, bf16FromFloat, floatFromBf16 } from '../../base/index.ts';
import type { Floats, FrozenMatrix, Nf4Codes, WeightFormat } from '../kernels.ts';
import { requireLength } from './lengths.ts';
import { quantiseNf4, valuesOfNf4 } from './nf4.ts';

/** A frozen matrix that keeps the dense values which its format can hold, and nothing of the format's storage. */
class ReferenceMatrix implements FrozenMatrix {
  readonly out: number;
  readonly in: number;
  readonly format: WeightFormat;
  readonly values_OI: Float64Array;

  constructor(values_OI: Float64Array, out: number, inputs: number, format: WeightFormat) {
    this.values_OI = values_OI;
    this.out = out;
    this.in = inputs;
    this.format = format;
  }
}

/**
 * The matrix whose values are those of `weight_OI` in `format`. `f32` keeps the numbers as they are given (also float64),
 * `bf16` takes the nearest bfloat16 of each, `int8` follows {@link quantiseRow}, `nf4` {@link quantiseNf4}.
 */
export function freeze(weight_OI: Floats, out: number, inputs: number, format: WeightFormat): FrozenMatrix {
  requireLength('weight', weight_OI, out * inputs);
  const values_OI = Float64Array.from(weight_OI);
  if (format === 'bf16') {
    for (let i = 0; i < values_OI.length; i++) values_OI[i] = floatFromBf16(bf16FromFloat(values_OI[i]));
  } else if (format === 'int8') {
    for (let o = 0; o < out; o++) quantiseRow(values_OI.subarray(o * inputs, (o + 1) * inputs));
  } else if (format === 'nf4') {
    values_OI.set(quantiseNf4(weight_OI));
  }
  return new ReferenceMatrix(values_OI, out, inputs, format);
}

/** The matrix whose values NF4 codes stand for. */
export function freezeNf4(weight: Nf4Codes, out: number, inputs: number): FrozenMatrix {
  return new ReferenceMatrix(valuesOfNf4(weight, out * inputs), out, inputs, 'nf4');
}

/** A copy of the dense values, [out, in]. */
export function thaw(weight: FrozenMatrix): Floats {
  return valuesOf(weight).slice();
}

/** The dense values of a matrix that {@link freeze} made, not to be written. */
export function valuesOf(weight: FrozenMatrix): Float64Array {
  assert(weight instanceof ReferenceMatrix, 'a frozen matrix goes to the kernel set that made it');
  return weight.values_OI;
}

/**
 * Symmetric int8 with one float32 scale a row: scale = max|w| / 127, q = w / scale rounded half to even, w becomes q · scale.
 * Each of the three is rounded to float32, so the values are the same on every machine. A row of zeros has scale 0.
 */
function quantiseRow(row_I: Float64Array): void {
  let peak = 0;
  for (const w of row_I) peak = Math.max(peak, Math.abs(Math.fround(w)));
  const scale = Math.fround(peak / 127);
  for (let i = 0; i < row_I.length; i++) {
    const q = scale === 0 ? 0 : roundHalfToEven(Math.fround(Math.fround(row_I[i]) / scale));
    // A code is a whole number: adding 0 takes the sign from −0.
    row_I[i] = Math.fround((Math.max(-127, Math.min(127, q)) + 0) * scale);
  }
}

/** `Math.round` takes halves up; this takes them to the even neighbour, as IEEE 754 does. */
export function roundHalfToEven(value: number): number {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 !== 0 ? up - 1 : up;
}
