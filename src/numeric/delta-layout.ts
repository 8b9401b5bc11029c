import { bf16FromBits } from '../base/index.ts';

/**
 * How the numbers of a low-rank delta A [R, I], B [O, R] lie in a row program, as the kernels read them: A as [I][R], then B in panels of
 * sixteen outputs, [O/16][R][16], the last of which is narrower. A row's sums read both from end to end, and no column is padded. Of
 * bfloat16 two terms of each sum stand side by side, [I/2][R][2] and [O/16][R/2][16][2], as one word that a shift and a mask widen; beside
 * the last of an odd number stands a zero, which no sum reads.
 */

/** In the order of their numbers in a record. */
export const DELTA_FORMATS = ['f32', 'bf16'] as const;
export type DeltaFormat = (typeof DELTA_FORMATS)[number];

export interface DeltaShape {
  readonly rank: number;
  readonly in: number;
  readonly out: number;
  readonly format: DeltaFormat;
}

/** Outputs of a panel of B. */
const PANEL = 16;

export function deltaBytes({ rank: R, in: I, out: O, format }: DeltaShape): number {
  return format === 'f32' ? 4 * R * (I + O) : 2 * (R * even(I) + even(R) * O);
}

/**
 * Writes a delta's codes: the bits of its numbers, or the upper halves of the nearest with an empty lower half.
 * @param a_RI the bits of A's numbers, b_OR those of B's
 */
export function layOutDelta(
  buffer: SharedArrayBuffer,
  byteOffset: number,
  { rank: R, in: I, out: O, format }: DeltaShape,
  a_RI: Int32Array,
  b_OR: Int32Array,
): void {
  if (format === 'bf16') {
    const codes = new Uint16Array(buffer, byteOffset);
    layOutPairsOfA(codes, a_RI, R, I);
    layOutPairsOfB(codes.subarray(R * even(I)), b_OR, R, O);
  } else {
    const codes = new Int32Array(buffer, byteOffset);
    layOutA(codes, a_RI, R, I);
    layOutB(codes.subarray(R * I), b_OR, R, O);
  }
}

/** The numbers that {@link layOutDelta} wrote. */
export function readDelta(
  buffer: SharedArrayBuffer,
  byteOffset: number,
  { rank: R, in: I, out: O, format }: DeltaShape,
): { readonly a_RI: Float32Array; readonly b_OR: Float32Array } {
  const [a_RI, b_OR] = [new Float32Array(R * I), new Float32Array(O * R)];
  const code = codeReader(buffer, byteOffset, format);
  for (let i = 0; i < I; i++) for (let r = 0; r < R; r++) a_RI[r * I + i] = code(placeInA(i, r, R, format));
  for (let o = 0; o < O; o++) for (let r = 0; r < R; r++) b_OR[o * R + r] = code(placeInB(o, r, R, I, O, format));
  return { a_RI, b_OR };
}

/** As {@link placeInA} says, in one rising loop: every load goes through all of an adapter's numbers. */
function layOutA(codes: Int32Array, bits: Int32Array, R: number, I: number): void {
  let place = 0;
  for (let i = 0; i < I; i++) {
    for (let element = i; element < R * I; element += I) codes[place++] = bits[element];
  }
}

/** As {@link placeInB} says. */
function layOutB(codes: Int32Array, bits: Int32Array, R: number, O: number): void {
  for (let first = 0; first < O; first += PANEL) {
    const width = Math.min(O - first, PANEL);
    let element = first * R;
    for (let o = 0; o < width; o++) {
      for (let place = first * R + o; place < (first + width) * R; place += width) codes[place] = bits[element++];
    }
  }
}

/** As {@link layOutA}, of bfloat16. */
function layOutPairsOfA(codes: Uint16Array, bits: Int32Array, R: number, I: number): void {
  for (let i = 0; i < I; i++) {
    let place = (i >> 1) * 2 * R + (i & 1);
    for (let element = i; element < R * I; element += I) {
      codes[place] = bf16FromBits(bits[element]);
      place += 2;
    }
  }
}

/** As {@link layOutB}, of bfloat16. */
function layOutPairsOfB(codes: Uint16Array, bits: Int32Array, R: number, O: number): void {
  for (let first = 0; first < O; first += PANEL) {
    const width = Math.min(O - first, PANEL);
    let element = first * R;
    for (let o = 0; o < width; o++) {
      const start = first * even(R) + 2 * o;
      for (let r = 0; r < R; r++) codes[start + (r >> 1) * 2 * width + (r & 1)] = bf16FromBits(bits[element++]);
    }
  }
}

function even(count: number): number {
  return count + (count & 1);
}

/** The number at a place of an operation's codes. */
function codeReader(buffer: SharedArrayBuffer, byteOffset: number, format: DeltaFormat): (place: number) => number {
  if (format === 'f32') {
    const values = new Float32Array(buffer, byteOffset);
    return (place) => values[place];
  }
  const codes = new Uint16Array(buffer, byteOffset);
  const value = new Float32Array(1);
  const bits = new Int32Array(value.buffer);
  return (place) => {
    bits[0] = codes[place] << 16;
    return value[0];
  };
}

function placeInA(i: number, r: number, R: number, format: DeltaFormat): number {
  return format === 'f32' ? i * R + r : ((i >> 1) * R + r) * 2 + (i & 1);
}

/** B begins behind A. */
function placeInB(o: number, r: number, R: number, I: number, O: number, format: DeltaFormat): number {
  const first = o - (o % PANEL);
  const [width, column] = [Math.min(PANEL, O - first), o - first];
  return format === 'f32'
    ? R * (I + first) + r * width + column
    : R * even(I) + even(R) * first + ((r >> 1) * width + column) * 2 + (r & 1);
}
