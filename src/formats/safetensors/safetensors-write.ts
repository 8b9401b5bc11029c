import { assert, bf16FromFloat, DTYPE_BYTES, writeFileAtomicSync, type Dtype } from '../../base/index.ts';

/** A tensor to write. Floats are stored as `dtype` (default: as they are); bytes need their dtype and are stored as they are. */
export type NamedTensor =
  | {
      readonly shape: readonly number[];
      readonly data: Float32Array | Float64Array;
      readonly dtype?: 'F64' | 'F32' | 'BF16';
    }
  | { readonly shape: readonly number[]; readonly data: Uint8Array; readonly dtype: Dtype };

/** The order in which the reference implementation sorts dtypes: wide ones first, so that every tensor is aligned. */
const DTYPE_ORDER: readonly Dtype[] = ['I64', 'F64', 'F32', 'I32', 'BF16', 'F16', 'I16', 'I8', 'U8', 'BOOL'];

/** A tensor whose values are made when they are written, and not kept. */
export interface LazyTensor {
  readonly shape: readonly number[];
  readonly dtype: 'F32' | 'BF16';
  read(): Float32Array | Float64Array;
}

/**
 * The bytes of a safetensors file, in pieces: length, header, then each tensor. The same tensors give the same bytes, and the ones
 * that Python's `safetensors` writes: tensors by dtype (wide first) and name, the header padded with spaces to a multiple of 8.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, NamedTensor | LazyTensor>,
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Uint8Array[] {
  return [...piecesOf(tensors, metadata)];
}

function* piecesOf(
  tensors: ReadonlyMap<string, NamedTensor | LazyTensor>,
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Generator<Uint8Array> {
  const stored = [...tensors]
    .map(([name, tensor]) => ({ name, dtype: dtypeOf(tensor), shape: tensor.shape, tensor }))
    .sort((a, b) => DTYPE_ORDER.indexOf(a.dtype) - DTYPE_ORDER.indexOf(b.dtype) || (a.name < b.name ? -1 : 1));
  let offset = 0;
  const entries: [string, unknown][] = [['__metadata__', metadata]];
  for (const { name, dtype, shape } of stored) {
    const end = offset + shape.reduce((product, length) => product * length, 1) * DTYPE_BYTES[dtype];
    entries.push([name, { dtype, shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  // Pair by pair: an object would put names that look like numbers first.
  const json = `{${entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(',')}}`;
  const header = Buffer.from(json + ' '.repeat((8 - (Buffer.byteLength(json) % 8)) % 8));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  yield length;
  yield header;
  for (const { name, tensor, dtype } of stored) yield encodeTensor(name, valuesOf(tensor), dtype);
}

function valuesOf(tensor: NamedTensor | LazyTensor): NamedTensor {
  return 'read' in tensor ? { shape: tensor.shape, data: tensor.read(), dtype: tensor.dtype } : tensor;
}

/**
 * Writes a safetensors file, whole or not at all.
 * @returns the file's size in bytes
 */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, NamedTensor | LazyTensor>,
  metadata?: Readonly<Record<string, string>>,
): number {
  return writeFileAtomicSync(path, piecesOf(tensors, metadata));
}

function dtypeOf(tensor: NamedTensor | LazyTensor): Dtype {
  return tensor.dtype ?? ('data' in tensor && tensor.data instanceof Float64Array ? 'F64' : 'F32');
}

function encodeTensor(name: string, { data, shape }: NamedTensor, dtype: Dtype): Uint8Array {
  const size = shape.reduce((product, length) => product * length, 1);
  const expected = data instanceof Uint8Array ? size * DTYPE_BYTES[dtype] : size;
  assert(data.length === expected, `tensor ${name}: ${data.length} values for the shape [${shape.join(', ')}]`);
  if (data instanceof Uint8Array) return data;
  if (dtype === 'BF16') return bytesOf(Uint16Array.from(data, bf16FromFloat));
  if (dtype === 'F32') return bytesOf(data instanceof Float32Array ? data : new Float32Array(data));
  return bytesOf(data instanceof Float64Array ? data : new Float64Array(data));
}

function bytesOf(values: Float32Array | Float64Array | Uint16Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
