import { fail } from '../../base/index.ts';
import { bytesSource, fileSource, type ByteSource } from '../byte-source.ts';
import { floatReader } from '../floats.ts';
import { parseSafetensorsHeader, readHeaderBytes, type SafetensorsTensor } from './safetensors-header.ts';

/** An open safetensors file whose header has been checked as a whole. Tensors are read when asked for. */
export interface SafetensorsFile extends Disposable {
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  readonly metadata: Readonly<Record<string, string>>;
  /** The stored bytes of a tensor. @throws FILE_INVALID when there is no such tensor */
  read(name: string): Uint8Array<ArrayBuffer>;
  /** The values of a floating-point tensor. @throws FILE_INVALID when there is none or it holds integers */
  readFloats(name: string): Float32Array<ArrayBuffer>;
  close(): void;
}

/**
 * Opens a safetensors file (format of Hugging Face's `safetensors`). The header is refused when a tensor's name, dtype, shape or
 * place is not sound, or when bytes of the file belong to no tensor or to two.
 * @throws FILE_NOT_FOUND FILE_INVALID names the file and the tensor
 */
export function openSafetensors(path: string): SafetensorsFile {
  return openChecked(fileSource(path));
}

/** The same for bytes in memory. @param name names them in errors */
export function parseSafetensors(bytes: Uint8Array, name: string): SafetensorsFile {
  return openChecked(bytesSource(bytes, name));
}

function openChecked(source: ByteSource): SafetensorsFile {
  try {
    return openSource(source);
  } catch (error) {
    source.close();
    throw error;
  }
}

function openSource(source: ByteSource): SafetensorsFile {
  const { tensors, metadata } = parseSafetensorsHeader(readHeaderBytes(source), source);
  const find = (name: string): SafetensorsTensor =>
    tensors.get(name) ?? fail('FILE_INVALID', `${source.name}: there is no tensor ${name}`, { param: name });
  const read = (name: string): Uint8Array<ArrayBuffer> => {
    const { byteOffset, byteLength } = find(name);
    return source.read(byteOffset, byteLength);
  };
  return {
    tensors,
    metadata,
    read,
    readFloats(name) {
      const { dtype } = find(name);
      const convert = floatReader(dtype);
      if (!convert)
        fail('FILE_INVALID', `${source.name}: tensor ${name} is ${dtype}, expected floats`, { param: name });
      return convert(read(name));
    },
    close: () => source.close(),
    [Symbol.dispose]: () => source.close(),
  };
}
