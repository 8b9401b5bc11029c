import { fail } from '../../base/index.ts';
import { bytesSource, fileSource, type ByteSource } from '../byte-source.ts';
import { dequantiser, READABLE_GGML_TYPES } from './ggml-blocks.ts';
import { parseGgufHeader, type GgufHeader, type GgufTensor } from './gguf-header.ts';

/** An open GGUF file whose header has been checked as a whole. Tensors are read when asked for. */
export interface GgufFile extends GgufHeader, Disposable {
  /** The stored bytes of a tensor. @throws FILE_INVALID when there is no such tensor */
  read(name: string): Uint8Array<ArrayBuffer>;
  /** The values of a tensor, dequantised. @throws FILE_INVALID when there is none or its type cannot be read */
  readFloats(name: string): Float32Array<ArrayBuffer>;
  close(): void;
}

/**
 * Opens a GGUF file (version 2 or 3, little-endian).
 * @throws FILE_NOT_FOUND FILE_INVALID names the file and the key or tensor
 */
export function openGguf(path: string): GgufFile {
  return openChecked(fileSource(path));
}

/** The same for bytes in memory. @param name names them in errors */
export function parseGguf(bytes: Uint8Array, name: string): GgufFile {
  return openChecked(bytesSource(bytes, name));
}

function openChecked(source: ByteSource): GgufFile {
  try {
    return openSource(source, parseGgufHeader(source));
  } catch (error) {
    source.close();
    throw error;
  }
}

function openSource(source: ByteSource, header: GgufHeader): GgufFile {
  const find = (name: string): GgufTensor =>
    header.tensors.get(name) ?? fail('FILE_INVALID', `${source.name}: there is no tensor ${name}`, { param: name });
  const read = (name: string): Uint8Array<ArrayBuffer> => {
    const { byteOffset, byteLength } = find(name);
    return source.read(byteOffset, byteLength);
  };
  return {
    ...header,
    read,
    readFloats(name) {
      const { type } = find(name);
      const dequantise = dequantiser(type);
      if (!dequantise) {
        const message = `tensor ${name} has the type ${type}, which cannot be read yet (only ${READABLE_GGML_TYPES.join(' ')})`;
        fail('FILE_INVALID', `${source.name}: ${message}`, { param: name });
      }
      return dequantise(read(name));
    },
    close: () => source.close(),
    [Symbol.dispose]: () => source.close(),
  };
}
