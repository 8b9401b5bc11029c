import type { CompiledAdapter } from '../../adapters/index.ts';

type Sites = CompiledAdapter['sites'];

/** The part of a buffer that arrays view, and where its copy begins. */
interface Range {
  begin: number;
  end: number;
  at: number;
}

/** Arrays lie as they did within a line of the cache. */
const ALIGNMENT = 64;

/**
 * The sites with their arrays copied into one shared memory, which has nothing else: another thread gets them without a copy, and they stay
 * whole when what they were made of goes. Arrays that share memory still do.
 * @param allocate makes the memory: at least as many bytes as are asked for
 */
export function inOwnMemory(sites: Sites, allocate: (sizeBytes: number) => SharedArrayBuffer): Sites {
  const ranges = new Map<ArrayBufferLike, Range>();
  mapArrays(sites, (array) => {
    const { buffer, byteOffset, byteLength } = array;
    const begin = Math.floor(byteOffset / ALIGNMENT) * ALIGNMENT;
    const range = ranges.get(buffer) ?? { begin, end: 0, at: 0 };
    range.begin = Math.min(range.begin, begin);
    range.end = Math.max(range.end, byteOffset + byteLength);
    ranges.set(buffer, range);
    return array;
  });
  let sizeBytes = 0;
  for (const range of ranges.values()) {
    range.at = sizeBytes;
    sizeBytes += Math.ceil((range.end - range.begin) / ALIGNMENT) * ALIGNMENT;
  }
  if (sizeBytes === 0) return sites;
  const memory = allocate(sizeBytes);
  for (const [buffer, { begin, end, at }] of ranges) {
    new Uint8Array(memory, at).set(new Uint8Array(buffer, begin, end - begin));
  }
  const moved = mapArrays(sites, (array) => {
    const { begin = 0, at = 0 } = ranges.get(array.buffer) ?? {};
    const length = array.byteLength / array.BYTES_PER_ELEMENT;
    const place = at + array.byteOffset - begin;
    return array instanceof Float64Array
      ? new Float64Array(memory, place, length)
      : array instanceof Int32Array
        ? new Int32Array(memory, place, length)
        : new Float32Array(memory, place, length);
  });
  return moved as Sites;
}

type NumberArray = Float32Array | Float64Array | Int32Array;

/** The value with other arrays. Plain objects, arrays and Maps are looked into. */
function mapArrays(value: unknown, change: (array: NumberArray) => NumberArray): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value)) return change(value as NumberArray);
  if (value instanceof Map) return new Map([...value].map(([key, inner]) => [key, mapArrays(inner, change)]));
  if (Array.isArray(value)) return value.map((inner) => mapArrays(inner, change));
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, mapArrays(inner, change)]));
}
