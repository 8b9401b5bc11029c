import { DTYPE_BYTES, fail, type Dtype } from '../../base/index.ts';
import { describeForeign, type ByteSource } from '../byte-source.ts';
import { isRecord, parseJson, show } from '../json.ts';
import {
  MAX_DIMENSIONS,
  MAX_HEADER_DEPTH,
  MAX_NAME_BYTES,
  MAX_SAFETENSORS_HEADER_BYTES,
  MAX_TENSORS,
} from '../limits.ts';

/** The little-endian u64 before the header: the header's length. */
const LENGTH_BYTES = 8;

/** Where a tensor lies in its file. Row-major, little-endian. */
export interface SafetensorsTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** From the file's beginning. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The JSON bytes of the header, whose length is checked against the file before they are read. @throws FILE_INVALID */
export function readHeaderBytes(source: ByteSource): Uint8Array<ArrayBuffer> {
  const { name, sizeBytes } = source;
  if (sizeBytes < LENGTH_BYTES) {
    fail('FILE_INVALID', `${name}: has ${sizeBytes} bytes, too short for the header of a safetensors file`);
  }
  const start = source.read(0, Math.min(sizeBytes, 64));
  const length = new DataView(start.buffer).getBigUint64(0, true);
  const room = sizeBytes - LENGTH_BYTES;
  if (length > BigInt(Math.min(room, MAX_SAFETENSORS_HEADER_BYTES))) {
    const foreign = describeForeign(start);
    const limit =
      length > BigInt(room)
        ? `the file has ${room} after the length`
        : `expected at most ${MAX_SAFETENSORS_HEADER_BYTES}`;
    fail('FILE_INVALID', `${name}: ${foreign ?? `header length is ${length} bytes, but ${limit}`}`);
  }
  if (length === 0n) fail('FILE_INVALID', `${name}: header length is 0: the header is empty`);
  return source.read(LENGTH_BYTES, Number(length));
}

/** The header's tensors and metadata, checked against each other and the file's size. @throws FILE_INVALID */
export function parseSafetensorsHeader(bytes: Uint8Array, source: ByteSource): SafetensorsHeader {
  const where = source.name;
  const parsed = parseJson(bytes, MAX_HEADER_DEPTH);
  if ('problem' in parsed) fail('FILE_INVALID', `${where}: header ${parsed.problem}`);
  const header = parsed.value;
  if (!isRecord(header)) fail('FILE_INVALID', `${where}: header is ${show(header)}, expected an object of tensors`);
  // Entries, never assignment by name: a tensor called __proto__ is then one like any other.
  const entries = Object.entries(header);
  if (entries.length > MAX_TENSORS) {
    fail('FILE_INVALID', `${where}: header has ${entries.length} entries, expected at most ${MAX_TENSORS}`);
  }
  const dataStart = LENGTH_BYTES + bytes.length;
  const dataSize = source.sizeBytes - dataStart;
  const tensors = new Map<string, SafetensorsTensor>();
  let metadata: Readonly<Record<string, string>> = {};
  for (const [name, entry] of entries) {
    if (name === '__metadata__') metadata = parseMetadata(entry, where);
    else tensors.set(name, parseTensor(name, entry, { where, dataStart, dataSize }));
  }
  checkCoverage(tensors, { where, dataStart, dataSize });
  return { tensors, metadata };
}

interface DataPlace {
  readonly where: string;
  readonly dataStart: number;
  readonly dataSize: number;
}

function parseTensor(name: string, entry: unknown, { where, dataStart, dataSize }: DataPlace): SafetensorsTensor {
  const refuse = (message: string): never =>
    fail('FILE_INVALID', `${where}: tensor ${show(name)}: ${message}`, { param: name });
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) refuse(`has a name of more than ${MAX_NAME_BYTES} bytes`);
  if (!isRecord(entry)) return refuse(`is ${show(entry)}, expected {dtype, shape, data_offsets}`);
  const { dtype, shape, data_offsets: offsets, ...rest } = entry;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) refuse(`has the unknown key ${show(unknown)}`);
  if (!isDtype(dtype)) return refuse(`dtype ${show(dtype)} is not one of ${Object.keys(DTYPE_BYTES).join('|')}`);
  if (!isWholeNumbers(shape) || shape.length > MAX_DIMENSIONS) {
    return refuse(`shape ${show(shape)} is not a list of at most ${MAX_DIMENSIONS} whole numbers from 0`);
  }
  if (!isWholeNumbers(offsets) || offsets.length !== 2) {
    return refuse(`data_offsets ${show(offsets)} are not two whole numbers from 0`);
  }
  const [begin, end] = offsets as [number, number];
  if (end < begin) refuse(`data_offsets [${begin}, ${end}] end before they begin`);
  if (end > dataSize)
    refuse(`data_offsets [${begin}, ${end}] are past the end of the data, which has ${dataSize} bytes`);
  const byteLength = shape.reduce((product, length) => product * length, 1) * DTYPE_BYTES[dtype];
  if (byteLength !== end - begin) {
    const needed = Number.isSafeInteger(byteLength) ? `${byteLength} bytes` : 'more bytes than can be counted';
    refuse(
      `${dtype} of shape [${shape.join(', ')}] needs ${needed}, data_offsets [${begin}, ${end}] hold ${end - begin}`,
    );
  }
  return { dtype, shape, byteOffset: dataStart + begin, byteLength };
}

function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(DTYPE_BYTES, value);
}

function isWholeNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function parseMetadata(value: unknown, where: string): Readonly<Record<string, string>> {
  if (!isRecord(value))
    return fail('FILE_INVALID', `${where}: __metadata__ is ${show(value)}, expected an object of strings`);
  const wrong = Object.entries(value).find(([, text]) => typeof text !== 'string');
  if (wrong) fail('FILE_INVALID', `${where}: __metadata__.${wrong[0]} is ${show(wrong[1])}, expected a string`);
  return value as Record<string, string>;
}

/** Every byte of the data belongs to one tensor: a hole can hide a second tensor of the same name, or anything else. */
function checkCoverage(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  { where, dataStart, dataSize }: DataPlace,
): void {
  const inOrder = [...tensors].sort(([, a], [, b]) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);
  let covered = dataStart;
  let last = 'the header';
  for (const [name, { byteOffset, byteLength }] of inOrder) {
    if (byteOffset < covered) {
      fail('FILE_INVALID', `${where}: tensor ${show(name)} overlaps ${last} by ${covered - byteOffset} bytes`, {
        param: name,
      });
    }
    if (byteOffset > covered) {
      fail(
        'FILE_INVALID',
        `${where}: ${byteOffset - covered} bytes between ${last} and tensor ${show(name)} belong to no tensor ` +
          '(a hole, as a name that stands twice leaves it)',
        { param: name },
      );
    }
    covered = byteOffset + byteLength;
    last = `tensor ${show(name)}`;
  }
  const trailing = dataStart + dataSize - covered;
  if (trailing > 0) fail('FILE_INVALID', `${where}: ${trailing} bytes after ${last} belong to no tensor`);
}
