import { fail, NF4_BLOCK, NF4_CODE_BOOK, NF4_NESTED_BLOCK } from '../../base/index.ts';
import { decodeUtf8, isRecord, parseJson, show } from '../json.ts';
import type { SafetensorsFile } from '../safetensors/safetensors.ts';
import type { NamedTensor } from '../safetensors/safetensors-write.ts';

/**
 * A matrix that bitsandbytes quantised to four bits, as Transformers saves it: beside `NAME` (the codes) lie `NAME.absmax`,
 * `NAME.quant_map`, `NAME.quant_state.bitsandbytes__nf4` (settings as the bytes of a JSON text) and, where the magnitudes were quantised
 * too, `NAME.nested_absmax` and `NAME.nested_quant_map`.
 */
export interface Nf4Tensor {
  /** [out, in] of the matrix, which is flattened row by row. */
  readonly shape: readonly [out: number, inputs: number];
  /** Two codes a byte, the first in the high half. */
  readonly codes: Uint8Array<ArrayBuffer>;
  /** The magnitude of each 64 numbers, as the number that it stands for if it was quantised. */
  readonly magnitudes: Float32Array<ArrayBuffer>;
}

/** What is written of a matrix, in bitsandbytes' terms. Without `nested` the magnitudes are kept as they are. */
export interface Nf4Parts {
  readonly shape: readonly [out: number, inputs: number];
  readonly codes: Uint8Array;
  readonly absmax: Float32Array;
  readonly nested?:
    | {
        readonly codes: Uint8Array;
        readonly absmax: Float32Array;
        readonly map: Float32Array;
        readonly offset: number;
      }
    | undefined;
  /** The type that the weights had, and that bitsandbytes gives back. */
  readonly dtype: 'float32' | 'bfloat16' | 'float16';
}

const STATE = 'quant_state.bitsandbytes__';
const { fround } = Math;

/** Whether a tensor of this name was quantised to four bits by bitsandbytes. */
export function isFourBit(file: SafetensorsFile, name: string): boolean {
  return file.tensors.has(`${name}.${STATE}nf4`) || file.tensors.has(`${name}.${STATE}fp4`);
}

/**
 * Reads a matrix in NF4.
 * @param where names the file in errors
 * @throws FILE_INVALID names the tensor and what is wrong with it, FP4 and other block sizes included
 */
export function readNf4(file: SafetensorsFile, name: string, where: string): Nf4Tensor {
  const refuse = (tensor: string, message: string): never =>
    fail('FILE_INVALID', `${where}: tensor ${tensor}: ${message}`, { param: tensor });
  if (!file.tensors.has(`${name}.${STATE}nf4`)) {
    refuse(name, 'is quantised as fp4, which is not supported: quantise with bnb_4bit_quant_type "nf4"');
  }
  const { shape, nestedOffset } = readState(file, name, refuse);
  const count = shape[0] * shape[1];
  /** Bytes whatever type they are stored as (`bnb_4bit_quant_storage`). */
  const bytesOf = (tensor: string, length: number): Uint8Array<ArrayBuffer> => {
    const bytes = file.read(tensor);
    return bytes.length === length ? bytes : refuse(tensor, `has ${bytes.length} bytes, expected ${length}`);
  };
  const floatsOf = (tensor: string, length: number): Float32Array<ArrayBuffer> => {
    const values = file.readFloats(tensor);
    return values.length === length ? values : refuse(tensor, `has ${values.length} numbers, expected ${length}`);
  };
  const map = floatsOf(`${name}.quant_map`, NF4_CODE_BOOK.length);
  if (map.some((value, i) => value !== NF4_CODE_BOOK[i])) refuse(`${name}.quant_map`, 'is not the code book of NF4');
  const codes = bytesOf(name, Math.ceil(count / 2));
  const numBlocks = Math.ceil(count / NF4_BLOCK);
  if (nestedOffset === undefined) return { shape, codes, magnitudes: floatsOf(`${name}.absmax`, numBlocks) };
  const nested = {
    codes: bytesOf(`${name}.absmax`, numBlocks),
    absmax: floatsOf(`${name}.nested_absmax`, Math.ceil(numBlocks / NF4_NESTED_BLOCK)),
    map: floatsOf(`${name}.nested_quant_map`, 256),
    offset: nestedOffset,
  };
  return { shape, codes, magnitudes: nestedMagnitudes(nested) };
}

interface State {
  readonly shape: readonly [number, number];
  /** Undefined where the magnitudes are stored as they are. */
  readonly nestedOffset: number | undefined;
}

function readState(file: SafetensorsFile, name: string, refuse: (tensor: string, message: string) => never): State {
  const tensor = `${name}.${STATE}nf4`;
  const text = decodeUtf8(file.read(tensor));
  const parsed = text === undefined ? { problem: 'is not UTF-8' } : parseJson(Buffer.from(text));
  if ('problem' in parsed) return refuse(tensor, parsed.problem);
  const state = parsed.value;
  if (!isRecord(state)) return refuse(tensor, `is ${show(state)}, expected an object`);
  const need = (field: string, isRight: (value: unknown) => boolean, expected: string): unknown => {
    const value = state[field];
    return isRight(value) ? value : refuse(tensor, `${field} is ${show(value)}, expected ${expected}`);
  };
  need('quant_type', (value) => value === 'nf4', '"nf4"');
  need('blocksize', (value) => value === NF4_BLOCK, String(NF4_BLOCK));
  const shape = need(
    'shape',
    (value) =>
      Array.isArray(value) && value.length === 2 && value.every((length) => Number.isSafeInteger(length) && length > 0),
    'two sizes',
  ) as [number, number];
  if (!file.tensors.has(`${name}.nested_absmax`)) return { shape, nestedOffset: undefined };
  need('nested_blocksize', (value) => value === NF4_NESTED_BLOCK, String(NF4_NESTED_BLOCK));
  return { shape, nestedOffset: need('nested_offset', Number.isFinite, 'a number') as number };
}

/** Entry code of the map times the magnitude of its 256, plus the offset: each step rounded to float32. */
function nestedMagnitudes(nested: NonNullable<Nf4Parts['nested']>): Float32Array<ArrayBuffer> {
  const { codes, absmax, map, offset } = nested;
  const magnitudes = new Float32Array(codes.length);
  for (const [i, code] of codes.entries()) {
    magnitudes[i] = fround(map[code] * absmax[Math.floor(i / NF4_NESTED_BLOCK)]) + fround(offset);
  }
  return magnitudes;
}

/** The dense values of a matrix: code · magnitude, rounded to float32. */
export function dequantiseNf4({ shape, codes, magnitudes }: Nf4Tensor): Float32Array<ArrayBuffer> {
  const values = new Float32Array(shape[0] * shape[1]);
  for (let i = 0; i < values.length; i++) {
    const byte = codes[i >>> 1];
    values[i] = NF4_CODE_BOOK[i % 2 === 0 ? byte >>> 4 : byte & 15] * magnitudes[Math.floor(i / NF4_BLOCK)];
  }
  return values;
}

/** The tensors under which a matrix called `name` is saved, as Transformers saves and reads them. */
export function nf4Tensors(name: string, { shape, codes, absmax, nested, dtype }: Nf4Parts): [string, NamedTensor][] {
  const bytes = (data: Uint8Array, dimensions: readonly number[]): NamedTensor => ({
    shape: dimensions,
    data,
    dtype: 'U8',
  });
  const floats = (data: Float32Array): NamedTensor => ({ shape: [data.length], data });
  const state = {
    quant_type: 'nf4',
    blocksize: NF4_BLOCK,
    dtype,
    shape,
    ...(nested && { nested_blocksize: NF4_NESTED_BLOCK, nested_dtype: 'float32', nested_offset: nested.offset }),
  };
  const settings = Buffer.from(JSON.stringify(state));
  return [
    [name, bytes(codes, [codes.length, 1])],
    [`${name}.absmax`, nested ? bytes(nested.codes, [nested.codes.length]) : floats(absmax)],
    [`${name}.quant_map`, floats(NF4_CODE_BOOK.slice())],
    ...(nested
      ? ([
          [`${name}.nested_absmax`, floats(nested.absmax)],
          [`${name}.nested_quant_map`, floats(nested.map)],
        ] as [string, NamedTensor][])
      : []),
    [`${name}.${STATE}nf4`, bytes(settings, [settings.length])],
  ];
}
