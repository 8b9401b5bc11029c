/**
 * NormalFloat 4 with double quantisation (Dettmers et al., 2023), one number at a time, in the order and the float32 roundings of
 * bitsandbytes' CPU code: the oracle of the native quantiser.
 */
import { NF4_BLOCK as BLOCK, NF4_CODE_BOOK, NF4_NESTED_BLOCK as NESTED_BLOCK } from '../../base/index.ts';
import type { Floats, Nf4Codes } from '../kernels.ts';

const { fround } = Math;
/** Magnitudes below this are raised to it before a number is divided by one. */
const LEAST_MAGNITUDE = fround(1e-38);

/** The values that a flattened matrix has in NF4, its magnitudes quantised too. */
export function quantiseNf4(weights: Floats): Float64Array {
  const { codes, magnitudes } = nf4Codes(weights);
  return valuesOfNf4({ codes, magnitudes: nestedMagnitudes(magnitudes) }, weights.length);
}

/** The `count` values that codes and magnitudes stand for: code · magnitude, rounded to float32. */
export function valuesOfNf4({ codes, magnitudes }: Nf4Codes, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    const byte = codes[Math.floor(i / 2)];
    return fround(NF4_CODE_BOOK[i % 2 === 0 ? byte >> 4 : byte & 15] * magnitudes[Math.floor(i / BLOCK)]);
  });
}

/** Blocks of 64 numbers: their largest magnitude, and the nearest code of each. A last block that is not whole is divided by its magnitude. */
function nf4Codes(weights: Floats): Nf4Codes {
  const codes = new Uint8Array(Math.ceil(weights.length / 2));
  const magnitudes = new Float32Array(Math.ceil(weights.length / BLOCK));
  for (let i = 0; i < weights.length; i++) {
    const block = Math.floor(i / BLOCK);
    magnitudes[block] = Math.max(magnitudes[block], Math.abs(fround(weights[i])));
  }
  const numWhole = Math.floor(weights.length / BLOCK) * BLOCK;
  const raised = magnitudes.map((magnitude) => Math.max(magnitude, LEAST_MAGNITUDE));
  for (let i = 0; i < 2 * codes.length; i++) {
    const magnitude = raised[Math.floor(i / BLOCK)];
    const weight = i < weights.length ? fround(weights[i]) : 0;
    const scaled = i < numWhole ? fround(weight * fround(1 / magnitude)) : fround(weight / magnitude);
    const code = nearestCode(Math.max(-1, Math.min(1, scaled)));
    codes[Math.floor(i / 2)] |= i % 2 === 0 ? code << 4 : code;
  }
  magnitudes.set(raised.subarray(numWhole / BLOCK), numWhole / BLOCK);
  return { codes, magnitudes };
}

/** How many middles between two codes are below; all of them for NaN. */
function nearestCode(scaled: number): number {
  let code = 0;
  for (let i = 1; i < NF4_CODE_BOOK.length; i++) {
    const middle = fround(fround(NF4_CODE_BOOK[i - 1] + NF4_CODE_BOOK[i]) / 2);
    if (!(middle >= scaled)) code++;
  }
  return code;
}

/** The magnitudes after a quantisation of their own: 8-bit codes of the dynamic map, 256 to a block, about their mean. */
function nestedMagnitudes(magnitudes: Float32Array): Float32Array {
  const map = dynamicMap();
  const offset = fround(torchSum(magnitudes) / magnitudes.length);
  const centred = magnitudes.map((magnitude) => magnitude - offset);
  return centred.map((value, i) => {
    const block = Math.floor(i / NESTED_BLOCK) * NESTED_BLOCK;
    const largest = centred.subarray(block, block + NESTED_BLOCK).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const code = largest === 0 ? 0 : nestedCode(map, fround(value * fround(1 / largest)));
    return fround(fround(map[code] * largest) + offset);
  });
}

/** bitsandbytes looks a value up in a table of 65,536 places from −1 to 1: the entry of the map that is nearest to its place. */
function nestedCode(map: Float32Array, value: number): number {
  const last = 65_535;
  const place = Math.floor(fround(fround(fround(fround(Math.max(-1, Math.min(1, value)) + 1) * 0.5) * last) + 0.5));
  const at = (place / last) * 2 - 1;
  return map.subarray(1).filter((entry, i) => (map[i] + entry) / 2 < at).length;
}

/**
 * The signed dynamic map of bitsandbytes (Dettmers et al., 2022): seven decades, of which decade d has 2^d fractions of each sign, the middles
 * of equal parts of 0.1..1; with 0 and 1. Every step is rounded to float32 as PyTorch's `linspace` and products round.
 */
function dynamicMap(): Float32Array {
  const entries = [0, 1];
  for (let decade = 0; decade < 7; decade++) {
    const fractions = 2 ** decade;
    const step = fround(fround(1 - fround(0.1)) / fractions);
    const bound = (i: number): number =>
      i < Math.floor((fractions + 1) / 2) ? fround(fround(0.1) + step * i) : fround(1 - step * (fractions - i));
    for (let i = 0; i < fractions; i++) {
      const middle = fround(fround(bound(i) + bound(i + 1)) / 2);
      const entry = fround(fround(10 ** (decade - 6)) * middle);
      entries.push(entry, -entry);
    }
  }
  return Float32Array.from(entries).sort();
}

/** PyTorch's float32 sum of a row, on one thread with vectors of eight: partial sums in cascades of four levels. */
function torchSum(values: Float32Array): number {
  const lanes = values.length < 8 ? 1 : 8;
  const rows = Math.floor(values.length / lanes);
  let total = 0;
  for (let i = rows * lanes; i < values.length; i++) total = fround(total + values[i]);
  for (let lane = 0; lane < lanes; lane++) {
    const column = Float32Array.from({ length: rows }, (_, row) => values[row * lanes + lane]);
    const groups = Math.floor(rows / 4);
    const sums = [0, 1, 2, 3].map((k) => cascade(column.filter((_, row) => row < groups * 4 && row % 4 === k)));
    for (let row = groups * 4; row < rows; row++) sums[0] = fround(sums[0] + column[row]);
    total = fround(total + sums.reduce((a, b) => fround(a + b)));
  }
  return total;
}

/** A sum of groups of groups of groups, each level added up when it is full. */
function cascade(values: Float32Array): number {
  const power = Math.max(4, Math.floor(Math.ceil(Math.log2(Math.max(1, values.length))) / 4));
  const step = 2 ** power;
  const sums = [0, 0, 0, 0];
  for (const [i, value] of values.entries()) {
    sums[0] = fround(sums[0] + value);
    for (let level = 1, full = step; level < 4 && (i + 1) % full === 0; level++, full *= step) {
      sums[level] = fround(sums[level] + sums[level - 1]);
      sums[level - 1] = 0;
    }
  }
  return sums.reduce((a, b) => fround(a + b));
}
