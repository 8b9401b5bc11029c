import { floatFromF16 } from '../base/index.ts';

/** All 65,536 values of binary16: one look-up is faster than any decoding. */
let f16Values: Float32Array | undefined;

/** Values of IEEE binary16 by their 16 bits. */
export function f16Table(): Float32Array {
  f16Values ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => floatFromF16(bits));
  return f16Values;
}

/** Little-endian values of a scalar type as float32. `bytes` begins at a multiple of 8 in its buffer. */
export type FloatReader = (bytes: Uint8Array<ArrayBuffer>) => Float32Array<ArrayBuffer>;

/** The types that {@link floatReader} knows. F64 is rounded to the nearest float32. */
export const FLOAT_READERS: Readonly<Record<'F64' | 'F32' | 'F16' | 'BF16', FloatReader>> = {
  F64: (bytes) => new Float32Array(new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8)),
  F32: (bytes) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4),
  F16(bytes) {
    const table = f16Table();
    const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
    const values = new Float32Array(halves.length);
    for (let i = 0; i < halves.length; i++) values[i] = table[halves[i]];
    return values;
  },
  BF16(bytes) {
    const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
    const bits = new Uint32Array(halves.length);
    for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
    return new Float32Array(bits.buffer);
  },
};

export function floatReader(dtype: string): FloatReader | undefined {
  return Object.hasOwn(FLOAT_READERS, dtype) ? FLOAT_READERS[dtype as keyof typeof FLOAT_READERS] : undefined;
}
