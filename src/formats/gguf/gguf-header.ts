import { describeForeign, type ByteSource } from '../byte-source.ts';
import { GGML_TYPES } from './ggml-types.ts';
import { GgufCursor } from './gguf-cursor.ts';
import { show } from '../json.ts';
import {
  MAX_GGUF_ALIGNMENT,
  MAX_GGUF_ARRAY_DEPTH,
  MAX_GGUF_ARRAY_ELEMENTS,
  MAX_GGUF_DIMENSIONS,
  MAX_GGUF_KEY_BYTES,
  MAX_GGUF_PAIRS,
  MAX_GGUF_STRING_BYTES,
  MAX_NAME_BYTES,
  MAX_TENSORS,
} from '../limits.ts';

/** 64-bit integers are numbers where they are exact. */
export type GgufValue = string | number | bigint | boolean | GgufValue[];

/** Where a tensor lies in its file. */
export interface GgufTensor {
  /** Name of the ggml type: `F32`, `Q4_1`, … */
  readonly type: string;
  /** Row-major as everywhere else, `[out, in]`: GGUF stores dimensions the other way round. */
  readonly shape: readonly number[];
  /** From the file's beginning. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface GgufHeader {
  readonly architecture: string;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

const MAGIC = 'GGUF';
const VERSIONS = [2, 3];
const DEFAULT_ALIGNMENT = 32;
/** The least that a pair (empty key, type, one byte) and a tensor's entry (empty name, no dimensions) take. */
const MIN_PAIR_BYTES = 13;
const MIN_TENSOR_BYTES = 24;

/**
 * Reads and checks the header of a little-endian GGUF file of version 2 or 3 (specification: `gguf.md` of ggml).
 * @throws FILE_INVALID names the file and the key or tensor
 */
export function parseGgufHeader(source: ByteSource): GgufHeader {
  const cursor: GgufCursor = new GgufCursor(source);
  readMagic(cursor, source);
  const numTensors = cursor.count(MAX_TENSORS, 'tensor count');
  const numPairs = cursor.count(MAX_GGUF_PAIRS, 'key-value count');
  if (numPairs * MIN_PAIR_BYTES + numTensors * MIN_TENSOR_BYTES > cursor.remaining) {
    cursor.fail(
      `too short for its tensor count ${numTensors} and key-value count ${numPairs}: ${cursor.remaining} bytes are left`,
    );
  }
  const metadata = readPairs(cursor, numPairs);
  const architecture = metadata.get('general.architecture');
  if (typeof architecture !== 'string') {
    cursor.fail(`general.architecture is ${show(architecture)}, expected the name of an architecture`);
  }
  const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  if (!isAlignment(alignment)) {
    cursor.fail(`general.alignment is ${show(alignment)}, expected a power of two up to ${MAX_GGUF_ALIGNMENT}`);
  }
  const entries = Array.from({ length: numTensors }, (_, index) => readTensorEntry(cursor, index));
  const dataStart = Math.ceil(cursor.offset / alignment) * alignment;
  return {
    architecture,
    metadata,
    tensors: placeTensors(cursor, entries, { alignment, dataStart, end: source.sizeBytes }),
  };
}

function readMagic(cursor: GgufCursor, source: ByteSource): void {
  const start = source.read(0, Math.min(source.sizeBytes, 64));
  const magic = Buffer.from(start.subarray(0, 4)).toString('latin1');
  if (source.sizeBytes < 4) cursor.fail(`too short for a GGUF file: ${source.sizeBytes} bytes`);
  if (magic === 'FUGG')
    cursor.fail('the magic is FUGG: a byte-swapped (big-endian) GGUF file, expected a little-endian one');
  if (magic !== MAGIC) cursor.fail(describeForeign(start) ?? `the magic is ${show(magic)}, expected "${MAGIC}"`);
  cursor.u32('the magic');
  const version = cursor.u32('the version');
  if (VERSIONS.includes(version)) return;
  const isSwapped = version > 0 && (version & 0xffff) === 0;
  cursor.fail(
    `GGUF version ${version}${isSwapped ? ' (big-endian)' : ''} is not supported, expected ${VERSIONS.join(' or ')}`,
  );
}

function readPairs(cursor: GgufCursor, numPairs: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  const budget = { elements: MAX_GGUF_ARRAY_ELEMENTS };
  for (let i = 0; i < numPairs; i++) {
    const key = cursor.text(MAX_GGUF_KEY_BYTES, `the key of pair ${i}`);
    if (metadata.has(key)) cursor.fail(`key ${key} stands twice`);
    metadata.set(key, readValue(cursor, cursor.u32(`the type of ${key}`), key, budget));
  }
  return metadata;
}

type ScalarReader = (cursor: GgufCursor, key: string) => GgufValue;

const SCALARS: Readonly<Record<number, { readonly bytes: number; readonly read: ScalarReader }>> = {
  0: { bytes: 1, read: (cursor, key) => cursor.u8(key) },
  1: { bytes: 1, read: (cursor, key) => cursor.i8(key) },
  2: { bytes: 2, read: (cursor, key) => cursor.u16(key) },
  3: { bytes: 2, read: (cursor, key) => cursor.i16(key) },
  4: { bytes: 4, read: (cursor, key) => cursor.u32(key) },
  5: { bytes: 4, read: (cursor, key) => cursor.i32(key) },
  6: { bytes: 4, read: (cursor, key) => cursor.f32(key) },
  7: { bytes: 1, read: (cursor, key) => cursor.u8(key) !== 0 },
  // At least the eight bytes of its length.
  8: { bytes: 8, read: (cursor, key) => cursor.text(MAX_GGUF_STRING_BYTES, key) },
  10: { bytes: 8, read: (cursor, key) => exactNumber(cursor.u64(key)) },
  11: { bytes: 8, read: (cursor, key) => exactNumber(cursor.i64(key)) },
  12: { bytes: 8, read: (cursor, key) => cursor.f64(key) },
};
const ARRAY = 9;
/** An array's own type and length. */
const ARRAY_HEAD_BYTES = 12;

function readValue(cursor: GgufCursor, type: number, key: string, budget: { elements: number }, depth = 0): GgufValue {
  const scalar = SCALARS[type];
  if (scalar) return scalar.read(cursor, key);
  if (type !== ARRAY) cursor.fail(`${key} has the value type ${type}, which GGUF does not have`);
  if (depth >= MAX_GGUF_ARRAY_DEPTH) cursor.fail(`${key} has arrays nested deeper than ${MAX_GGUF_ARRAY_DEPTH}`);
  const elementType = cursor.u32(`the element type of ${key}`);
  const length = cursor.u64(`the array length of ${key}`);
  const element = SCALARS[elementType];
  if (!element && elementType !== ARRAY)
    cursor.fail(`${key} has the element type ${elementType}, which GGUF does not have`);
  const minBytes = BigInt(element?.bytes ?? ARRAY_HEAD_BYTES);
  if (length * minBytes > BigInt(cursor.remaining)) {
    cursor.fail(`${key} is an array of ${length} elements, but only ${cursor.remaining} bytes are left in the file`);
  }
  if (length > BigInt(budget.elements)) {
    cursor.fail(`${key} is an array of ${length} elements, expected at most ${MAX_GGUF_ARRAY_ELEMENTS} in all arrays`);
  }
  budget.elements -= Number(length);
  const values: GgufValue[] = [];
  for (let i = 0; i < Number(length); i++) {
    values.push(element ? element.read(cursor, key) : readValue(cursor, elementType, key, budget, depth + 1));
  }
  return values;
}

function exactNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function isAlignment(value: unknown): value is number {
  return typeof value === 'number' && value >= 1 && value <= MAX_GGUF_ALIGNMENT && Number.isInteger(Math.log2(value));
}

interface TensorEntry {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** From the beginning of the data. */
  readonly offset: bigint;
}

function readTensorEntry(cursor: GgufCursor, index: number): TensorEntry {
  const name = cursor.text(MAX_NAME_BYTES, `the name of tensor ${index}`);
  const refuse = (message: string): never => cursor.fail(`tensor ${name}: ${message}`);
  const numDimensions = cursor.u32(`the dimensions of ${name}`);
  if (numDimensions > MAX_GGUF_DIMENSIONS)
    refuse(`has ${numDimensions} dimensions, expected at most ${MAX_GGUF_DIMENSIONS}`);
  const dimensions = Array.from({ length: numDimensions }, () => cursor.u64(`the dimensions of ${name}`));
  const typeId = cursor.u32(`the type of ${name}`);
  const offset = cursor.u64(`the offset of ${name}`);
  const type = GGML_TYPES.get(typeId);
  if (!type) return refuse(`has the ggml type ${typeId}, which is not known`);
  if (dimensions.includes(0n)) refuse(`has a dimension of 0: [${dimensions.join(', ')}]`);
  const size = dimensions.reduce((product, length) => product * length, 1n);
  const byteLength = (size / BigInt(type.blockSize)) * BigInt(type.blockBytes);
  if (byteLength > BigInt(Number.MAX_SAFE_INTEGER)) {
    refuse(`has more elements than can be counted: dimensions [${dimensions.join(', ')}]`);
  }
  const rowLength = dimensions[0] ?? 1n;
  if (rowLength % BigInt(type.blockSize) !== 0n) {
    refuse(`has rows of ${rowLength} elements, which are no whole ${type.name} blocks of ${type.blockSize}`);
  }
  return { name, type: type.name, shape: dimensions.reverse().map(Number), byteLength: Number(byteLength), offset };
}

interface DataPlace {
  readonly alignment: number;
  readonly dataStart: number;
  readonly end: number;
}

function placeTensors(
  cursor: GgufCursor,
  entries: TensorEntry[],
  { alignment, dataStart, end }: DataPlace,
): Map<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>();
  for (const { name, type, shape, byteLength, offset } of entries) {
    if (tensors.has(name)) cursor.fail(`tensor ${name} stands twice`);
    if (offset % BigInt(alignment) !== 0n) {
      cursor.fail(`tensor ${name}: offset ${offset} is not a multiple of the alignment ${alignment}`);
    }
    const room = Math.max(0, end - dataStart);
    if (offset + BigInt(byteLength) > BigInt(room)) {
      cursor.fail(
        `tensor ${name}: needs ${byteLength} bytes at offset ${offset}, but the file has ${room} bytes of data`,
      );
    }
    tensors.set(name, { type, shape, byteOffset: dataStart + Number(offset), byteLength });
  }
  let last: { name: string; end: number } | undefined;
  for (const [name, { byteOffset, byteLength }] of [...tensors].sort(([, a], [, b]) => a.byteOffset - b.byteOffset)) {
    if (last && byteOffset < last.end) {
      cursor.fail(`tensor ${name} overlaps tensor ${last.name} by ${last.end - byteOffset} bytes`);
    }
    last = { name, end: byteOffset + byteLength };
  }
  return tensors;
}
