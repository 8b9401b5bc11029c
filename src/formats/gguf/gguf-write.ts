import { assert, writeFileAtomicSync } from '../../base/index.ts';

/** A value of a pair, with GGUF's type. */
export type GgufPair =
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'f32'; readonly value: number }
  | { readonly type: 'u32'; readonly value: number };

/** A tensor of float32, row-major. */
export interface GgufFloats {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const VERSION = 3;
const ALIGNMENT = 32;
const F32 = 0;
/** Of `enum gguf_metadata_value_type`. */
const PAIR_TYPES: Readonly<Record<GgufPair['type'], number>> = { u32: 4, f32: 6, string: 8 };

/**
 * The bytes of a GGUF file (version 3, little-endian; specification: `gguf.md` of ggml) in pieces: header, pairs, entries of tensors, then
 * each tensor at a multiple of 32. The same input gives the same bytes.
 */
export function encodeGguf(
  pairs: ReadonlyMap<string, GgufPair>,
  tensors: ReadonlyMap<string, GgufFloats>,
): Uint8Array[] {
  const entries: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { shape, data }] of tensors) {
    assert(
      shape.reduce((product, length) => product * length, 1) === data.length,
      `the shape of ${name} is that of its values`,
    );
    // GGUF counts dimensions from the one that runs fastest.
    const dimensions = shape.toReversed().map((length) => u64(length));
    entries.push(text(name), u32(shape.length), ...dimensions, u32(F32), u64(offset));
    offset = aligned(offset + data.byteLength);
  }
  const head = Buffer.concat([
    Buffer.from('GGUF'),
    u32(VERSION),
    u64(tensors.size),
    u64(pairs.size),
    ...[...pairs].flatMap(([key, pair]) => [text(key), u32(PAIR_TYPES[pair.type]), valueOf(pair)]),
    ...entries,
  ]);
  const chunks: Uint8Array[] = [head, new Uint8Array(aligned(head.length) - head.length)];
  for (const { data } of tensors.values()) {
    const bytes = new DataView(new ArrayBuffer(data.byteLength));
    for (let i = 0; i < data.length; i++) bytes.setFloat32(4 * i, data[i], true);
    chunks.push(new Uint8Array(bytes.buffer), new Uint8Array(aligned(data.byteLength) - data.byteLength));
  }
  return chunks;
}

/** Writes a GGUF file, whole or not at all. @returns its size in bytes */
export function writeGguf(
  path: string,
  pairs: ReadonlyMap<string, GgufPair>,
  tensors: ReadonlyMap<string, GgufFloats>,
): number {
  return writeFileAtomicSync(path, encodeGguf(pairs, tensors));
}

function valueOf(pair: GgufPair): Uint8Array {
  if (pair.type === 'string') return text(pair.value);
  return pair.type === 'u32' ? u32(pair.value) : f32(pair.value);
}

function aligned(offset: number): number {
  return Math.ceil(offset / ALIGNMENT) * ALIGNMENT;
}

function text(value: string): Uint8Array {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function f32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function u64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
