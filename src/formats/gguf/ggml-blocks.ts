import { f16Table, FLOAT_READERS, type FloatReader } from '../floats.ts';

/**
 * Values of ggml's quantised blocks (`ggml-quants.c`, the dequantize_row functions) as float32. `d` is a block's scale and `m` its
 * minimum, both binary16; `q` are the small integers. Products of them are exact in a double and are rounded once, when they are
 * stored, so the values are the ones that float32 arithmetic gives.
 */

/** Values in a super-block of the K types. */
const SUPER = 256;

/** 32 signed bytes: d · q. */
function dequantiseQ8_0(bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const f16 = f16Table();
  const numBlocks = bytes.length / 34;
  const quants = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  const values = new Float32Array(numBlocks * 32);
  for (let block = 0, at = 0, to = 0; block < numBlocks; block++, at += 34, to += 32) {
    const d = f16[readU16(bytes, at)];
    for (let i = 0; i < 32; i++) values[to + i] = d * quants[at + 2 + i];
  }
  return values;
}

/** 32 nibbles, low ones first: d · (q − 8). */
function dequantiseQ4_0(bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const f16 = f16Table();
  const numBlocks = bytes.length / 18;
  const values = new Float32Array(numBlocks * 32);
  for (let block = 0, at = 0, to = 0; block < numBlocks; block++, at += 18, to += 32) {
    const d = f16[readU16(bytes, at)];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i];
      values[to + i] = d * ((pair & 15) - 8);
      values[to + 16 + i] = d * ((pair >> 4) - 8);
    }
  }
  return values;
}

/** 32 nibbles, low ones first: d · q + m. */
function dequantiseQ4_1(bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const f16 = f16Table();
  const numBlocks = bytes.length / 20;
  const values = new Float32Array(numBlocks * 32);
  for (let block = 0, at = 0, to = 0; block < numBlocks; block++, at += 20, to += 32) {
    const d = f16[readU16(bytes, at)];
    const m = f16[readU16(bytes, at + 2)];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 4 + i];
      values[to + i] = d * (pair & 15) + m;
      values[to + 16 + i] = d * (pair >> 4) + m;
    }
  }
  return values;
}

/**
 * 8 groups of 32 nibbles with a 6-bit scale and minimum each: d · scale · q − dmin · minimum. Layout of a block: d, dmin, 12 bytes of
 * packed scales and minima, 128 bytes of nibbles (a run of 32 bytes holds two groups: low nibbles, then high).
 */
function dequantiseQ4_K(bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const f16 = f16Table();
  const numBlocks = bytes.length / 144;
  const values = new Float32Array(numBlocks * SUPER);
  for (let block = 0, at = 0, to = 0; block < numBlocks; block++, at += 144) {
    const d = f16[readU16(bytes, at)];
    const dmin = f16[readU16(bytes, at + 2)];
    for (let group = 0; group < 8; group++, to += 32) {
      const scale = d * packedScale(bytes, at + 4, group);
      const minimum = dmin * packedMinimum(bytes, at + 4, group);
      const from = at + 16 + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      for (let i = 0; i < 32; i++) values[to + i] = scale * ((bytes[from + i] >> shift) & 15) - minimum;
    }
  }
  return values;
}

/** Groups 0 to 3 have their 6 bits in one byte; 4 to 7 have 4 bits in one and the upper 2 in the spare bits of another. */
function packedScale(bytes: Uint8Array, at: number, group: number): number {
  if (group < 4) return bytes[at + group] & 63;
  return (bytes[at + group + 4] & 15) | ((bytes[at + group - 4] >> 6) << 4);
}

function packedMinimum(bytes: Uint8Array, at: number, group: number): number {
  if (group < 4) return bytes[at + group + 4] & 63;
  return (bytes[at + group + 4] >> 4) | ((bytes[at + group] >> 6) << 4);
}

/**
 * 16 groups of 16 values of 6 bits with a signed 8-bit scale each: d · scale · (q − 32). Layout of a block: 128 bytes of lower
 * nibbles, 64 bytes of upper bit pairs, 16 scales, d. Each half of a block interleaves four runs of 32 values.
 */
function dequantiseQ6_K(bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const f16 = f16Table();
  const numBlocks = bytes.length / 210;
  const scales = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  const values = new Float32Array(numBlocks * SUPER);
  for (let block = 0, at = 0, to = 0; block < numBlocks; block++, at += 210) {
    const d = f16[readU16(bytes, at + 208)];
    for (let half = 0; half < 2; half++, to += 128) {
      const low = at + half * 64;
      const high = at + 128 + half * 32;
      for (let run = 0; run < 4; run++) {
        const lowFrom = low + (run & 1) * 32;
        const lowShift = run < 2 ? 0 : 4;
        const highShift = run * 2;
        for (let i = 0; i < 32; i++) {
          const lower = (bytes[lowFrom + i] >> lowShift) & 15;
          const upper = (bytes[high + i] >> highShift) & 3;
          const scale = scales[at + 192 + half * 8 + run * 2 + (i >> 4)];
          values[to + run * 32 + i] = d * scale * ((lower | (upper << 4)) - 32);
        }
      }
    }
  }
  return values;
}

function readU16(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8);
}

const DEQUANTISERS: Readonly<Record<string, FloatReader>> = {
  ...FLOAT_READERS,
  Q8_0: dequantiseQ8_0,
  Q4_0: dequantiseQ4_0,
  Q4_1: dequantiseQ4_1,
  Q4_K: dequantiseQ4_K,
  Q6_K: dequantiseQ6_K,
};

/** Names of the types whose values can be read. */
export const READABLE_GGML_TYPES: readonly string[] = Object.keys(DEQUANTISERS);

/** What turns whole blocks of a ggml type into float32, or undefined when the type cannot be read yet. */
export function dequantiser(typeName: string): FloatReader | undefined {
  return Object.hasOwn(DEQUANTISERS, typeName) ? DEQUANTISERS[typeName] : undefined;
}
