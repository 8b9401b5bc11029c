import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ComputeDtype, PackingKernels, WeightFormat } from '../numeric/index.ts';
import { ChunkedFile } from './chunked-file.ts';
import type { ModelConfig } from './config.ts';
import type { WeightReader } from './base-model.ts';
import type { WeightSource } from './source.ts';
import { baseTensors, matrixFormat } from './tensor-names.ts';

/**
 * The packed base: a file that is mapped read-only, so that every process on the machine shares one copy and starts in milliseconds.
 * Layout: 8 bytes of magic, 8 bytes header length (little-endian), the JSON header, zeros up to a multiple of 64, then the
 * tensors, each at a multiple of 64. It is a cache: a file that does not fit is made anew.
 */
const MAGIC = 'ESPPACK2';
const ALIGNMENT = 64;
const MAX_HEADER_BYTES = 64 * 2 ** 20;

interface PackedEntry {
  readonly kind: 'matrix' | 'vector';
  readonly shape: readonly number[];
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface PackedHeader {
  readonly digest: string;
  readonly format: WeightFormat;
  /** The kernels' arrangement of a matrix in memory. */
  readonly layout: string;
  readonly config: ModelConfig;
  readonly tensors: Readonly<Record<string, PackedEntry>>;
}

/** Names how the matrices of a base are arranged, of every format that it holds. */
export function baseLayout(kernels: PackingKernels, format: WeightFormat): string {
  const formats = new Set([format, matrixFormat('lm_head.weight', format)]);
  return [...formats].map((one) => kernels.layoutName(one)).join('+');
}

/** Packs every tensor of a base into `path`: written aside, synced, renamed, so that a killed process leaves nothing half-made. */
export function writePackedFile(
  path: string,
  source: WeightSource,
  kernels: PackingKernels,
  { digest, format, layout }: { digest: string; format: WeightFormat; layout: string },
): void {
  const specs = baseTensors(source.config);
  let dataBytes = 0;
  const relative = specs.map(({ name, kind, shape }) => {
    const [rows, columns] = shape as [number, number];
    const byteLength = kind === 'matrix' ? kernels.packedBytes(rows, columns, matrixFormat(name, format)) : rows * 4;
    const entry = { name, kind, shape, byteOffset: dataBytes, byteLength };
    dataBytes = align(dataBytes + byteLength);
    return entry;
  });
  const headerFor = (dataStart: number): Buffer => {
    const tensors = Object.fromEntries(
      relative.map(({ name, ...entry }) => [name, { ...entry, byteOffset: dataStart + entry.byteOffset }]),
    );
    return Buffer.from(
      JSON.stringify({ digest, format, layout, config: source.config, tensors } satisfies PackedHeader),
    );
  };
  // Offsets stand in the header, whose length they change: room for the largest is kept.
  const dataStart = align(16 + headerFor(Number.MAX_SAFE_INTEGER - dataBytes).length);
  const header = headerFor(dataStart);
  const packMatrix = (bytes: Uint8Array, name: string, rows: number, columns: number): void => {
    const matrix = matrixFormat(name, format);
    const codes = matrix === 'nf4' ? source.readNf4(name) : undefined;
    if (codes) kernels.packNf4Into(bytes, codes, rows, columns);
    else kernels.packInto(bytes, source.read(name), rows, columns, matrix);
  };
  mkdirSync(dirname(path), { recursive: true });
  const aside = `${path}.${process.pid}.tmp`;
  const file = openSync(aside, 'w');
  try {
    const chunks = new ChunkedFile(file);
    const start = Buffer.alloc(dataStart);
    start.write(MAGIC, 'latin1');
    start.writeBigUInt64LE(BigInt(header.length), 8);
    header.copy(start, 16);
    chunks.write(start);
    for (const { name, kind, shape, byteLength } of relative) {
      const bytes = Buffer.alloc(align(byteLength));
      const [rows, columns] = shape as [number, number];
      if (kind === 'matrix') packMatrix(bytes.subarray(0, byteLength), name, rows, columns);
      else {
        const values = source.read(name);
        bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      }
      chunks.write(bytes);
    }
    chunks.end();
    fsyncSync(file);
  } catch (error) {
    closeSync(file);
    rmSync(aside, { force: true });
    throw error;
  }
  closeSync(file);
  renameSync(aside, path);
}

/** @returns undefined when there is no such file, or it is not a packed base for this digest, format and layout */
export function readPackedHeader(
  path: string,
  wanted: { digest: string; format: WeightFormat; layout: string },
): PackedHeader | undefined {
  if (!existsSync(path)) return undefined;
  const file = openSync(path, 'r');
  try {
    const start = Buffer.alloc(16);
    if (readSync(file, start, 0, 16, 0) < 16 || start.toString('latin1', 0, 8) !== MAGIC) return undefined;
    const length = Number(start.readBigUInt64LE(8));
    if (length > MAX_HEADER_BYTES) return undefined;
    const bytes = Buffer.alloc(length);
    if (readSync(file, bytes, 0, length, 16) < length) return undefined;
    const header = JSON.parse(bytes.toString()) as PackedHeader;
    const fits = header.digest === wanted.digest && header.format === wanted.format && header.layout === wanted.layout;
    return fits ? header : undefined;
  } finally {
    closeSync(file);
  }
}

/** Matrices by mapping, vectors by reading. */
export function packedReader(
  path: string,
  header: PackedHeader,
  kernels: PackingKernels,
  computeDtype: ComputeDtype,
): WeightReader {
  const mapped = kernels.mapWeights(path);
  const entryOf = (name: string): PackedEntry => {
    const entry = header.tensors[name];
    if (!entry) throw new Error(`${path} has no tensor ${name}`);
    return entry;
  };
  return {
    matrix(name) {
      const { byteOffset, shape } = entryOf(name);
      return mapped.matrix(byteOffset, shape[0], shape[1], matrixFormat(name, header.format), computeDtype);
    },
    vector(name) {
      const { byteOffset, shape } = entryOf(name);
      const values = new Float32Array(shape[0]);
      const file = openSync(path, 'r');
      try {
        readSync(file, new Uint8Array(values.buffer), 0, values.byteLength, byteOffset);
      } finally {
        closeSync(file);
      }
      return values;
    },
  };
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
