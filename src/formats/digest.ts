import { createHash } from 'node:crypto';
import { type Digest, type Dtype } from '../base/index.ts';
import { fileSource, type ByteSource } from './byte-source.ts';

/** How much of a file is in memory while it is hashed. */
const CHUNK_BYTES = 4 * 2 ** 20;

/** What a tensor digest covers. Without a dtype, `data` says it: F32 or F64. */
export interface DigestibleTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | Uint8Array;
  readonly dtype?: Dtype;
}

export function digestOfBytes(bytes: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The digest of a file's bytes, which are streamed. @throws FILE_NOT_FOUND FILE_INVALID */
export function digestOfFile(path: string): Digest {
  const source = fileSource(path);
  try {
    return digestOfSource(source);
  } finally {
    source.close();
  }
}

function digestOfSource(source: ByteSource): Digest {
  const hash = createHash('sha256');
  for (let offset = 0; offset < source.sizeBytes; offset += CHUNK_BYTES) {
    hash.update(source.read(offset, Math.min(CHUNK_BYTES, source.sizeBytes - offset)));
  }
  return `sha256:${hash.digest('hex')}`;
}

/** One digest for several files, in the given order: a file's own digest when there is one, else the digest of their digests. */
export function digestOfFiles(paths: readonly string[]): Digest {
  const digests = paths.map(digestOfFile);
  const [only] = digests;
  return digests.length === 1 && only ? only : digestOfBytes(digests.join('\n'));
}

/**
 * The identity of named tensors and what belongs to them, whatever file they came from: for each tensor in order of its name, a line
 * of JSON with name, dtype and shape, and its little-endian bytes; last, `context` as JSON with sorted keys.
 */
export function digestOfTensors(tensors: ReadonlyMap<string, DigestibleTensor>, context?: unknown): Digest {
  const hash = createHash('sha256');
  for (const [name, { shape, data, dtype }] of [...tensors].sort(([a], [b]) => compareText(a, b))) {
    hash.update(`${JSON.stringify([name, dtype ?? dtypeOf(data), shape])}\n`);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  if (context !== undefined) hash.update(canonicalJson(context));
  return `sha256:${hash.digest('hex')}`;
}

function dtypeOf(data: DigestibleTensor['data']): Dtype {
  if (data instanceof Float32Array) return 'F32';
  return data instanceof Float64Array ? 'F64' : 'U8';
}

/** JSON with sorted keys and no spaces: equal values have equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(sortKeys(value));
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => compareText(a, b))
      .map(([key, inner]) => [key, sortKeys(inner)]),
  );
}

/** Order of UTF-16 code units, which no locale changes. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
