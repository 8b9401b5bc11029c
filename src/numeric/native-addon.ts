import { createRequire } from 'node:module';
import { join } from 'node:path';
import { existsSync } from 'node:fs';
import { broken, errorMessage, fail } from '../base/index.ts';
import type { CachedNumbers, ComputeDtype, WeightFormat } from './kernels.ts';

/** Memory of the addon that JavaScript can only pass back. */
export type Handle = { readonly __handle: never };

type F32 = Float32Array;
type U16 = Uint16Array;
type I32 = Int32Array;

/** The functions of native/src/surface: flat arguments, in the order of {@link Kernels}. */
export interface Addon {
  instructionSet(): string;
  /** Of the instruction set in use. */
  computeDtypes(): ComputeDtype[];
  setThreads(threads: number): void;
  leavePool(): void;
  threads(): number;

  preferLargePages(memory: Uint8Array): void;
  packedLayout(format: WeightFormat): string;
  packedBytes(out: number, inputs: number, format: WeightFormat): number;
  packInto(target: Uint8Array, weight: F32, out: number, inputs: number, format: WeightFormat): void;
  freeze(weight: F32, out: number, inputs: number, format: WeightFormat, compute: ComputeDtype): Handle;
  freezeNf4(codes: Uint8Array, magnitudes: F32, out: number, inputs: number): Handle;
  packNf4Into(target: Uint8Array, codes: Uint8Array, magnitudes: F32, out: number, inputs: number): void;
  // prettier-ignore
  quantiseNf4(codes: Uint8Array, absmax: F32, nestedCodes: Uint8Array, nestedAbsmax: F32, weight: F32): number;
  nestedMap(target: F32): void;
  thaw(target: F32, weight: Handle): void;
  mapWeights(path: string): Handle;
  mappedMatrix(
    file: Handle,
    byteOffset: number,
    out: number,
    inputs: number,
    format: WeightFormat,
    compute: ComputeDtype,
  ): Handle;
  linearForward(y: F32, x: F32, weight: Handle, T: number, accumulate: boolean): void;
  linearBackward(dx: F32, dy: F32, weight: Handle, T: number, accumulate: boolean): void;
  // prettier-ignore
  gemm(c: F32, a: F32, b: F32, M: number, N: number, K: number, transposeA: boolean, transposeB: boolean, alpha: number, accumulate: boolean): void;
  embeddingForward(y: F32, table: Handle, tokenIds: I32): void;
  // prettier-ignore
  linearCrossEntropy(losses: F32, dx: F32 | null, isTop: Uint8Array | null, x: F32, weight: Handle, targets: I32, weights: F32): void;

  rmsNormForward(y: F32, rstd: F32, x: F32, gain: F32, epsilon: number, T: number): void;
  rmsNormBackward(dx: F32, dy: F32, x: F32, rstd: F32, gain: F32, T: number, accumulate: boolean): void;
  rope(x: F32, positions: I32, cosSin: F32, T: number, H: number, E: number, inverse: boolean): void;
  swigluForward(y: F32, gate: F32, up: F32): void;
  swigluBackward(dgate: F32, dup: F32, dy: F32, gate: F32, up: F32): void;
  // prettier-ignore
  attentionForward(out: F32, lse: F32, q: F32, k: F32, v: F32, segmentStarts: I32, rows: I32, T: number, H: number, G: number, E: number, scale: number): void;
  // prettier-ignore
  attentionBackward(dq: F32, dk: F32, dv: F32, dout: F32, out: F32, lse: F32, q: F32, k: F32, v: F32, segmentStarts: I32, rows: I32, T: number, H: number, G: number, E: number, scale: number): void;
  // prettier-ignore
  cacheKeyValues(kCache: F32, vCache: F32, k: F32, v: F32, rowSequences: I32, contextLengths: I32, blockTables: I32, maxBlocks: number, blockSize: number, T: number, G: number, E: number): void;
  cacheKeyValuesBf16(
    kCache: U16,
    vCache: U16,
    k: F32,
    v: F32,
    rowSequences: I32,
    contextLengths: I32,
    blockTables: I32,
    maxBlocks: number,
    blockSize: number,
    T: number,
    G: number,
    E: number,
  ): void;
  // prettier-ignore
  attentionPaged(out: F32, q: F32, kCache: F32, vCache: F32, rowSequences: I32, contextLengths: I32, blockTables: I32, maxBlocks: number, blockSize: number, T: number, H: number, G: number, E: number, scale: number): void;
  attentionPagedBf16(
    out: F32,
    q: F32,
    kCache: U16,
    vCache: U16,
    rowSequences: I32,
    contextLengths: I32,
    blockTables: I32,
    maxBlocks: number,
    blockSize: number,
    T: number,
    H: number,
    G: number,
    E: number,
    scale: number,
  ): void;
  argmaxRows(best: I32, x: F32): void;
  axpy(y: F32, x: F32, alpha: number): void;
  sumSquares(x: F32): number;
  // prettier-ignore
  adamW(weights: F32, gradients: F32, moment1: F32, moment2: F32, learningRate: number, beta1: number, beta2: number, epsilon: number, weightDecay: number, step: number, gradientScale: number): void;

  openProgram(bytes: Uint8Array, records: I32, scales: Float64Array): Handle;
  newBoundRows(): Handle;
  bindRows(bound: Handle, program: Handle, begin: number, end: number): void;
  scaleInputs(out: F32, x: F32, bound: Handle, slot: number, T: number): void;
  applyRows(y: F32, x: F32, bound: Handle, slot: number, T: number): void;

  grammarVocabulary(bytes: Uint8Array, ends: I32, stops: I32): Handle;
  grammarCompile(vocabulary: Handle, definition: string): Promise<Handle>;
  grammarStart(grammar: Handle): Handle;
  grammarMask(answer: Handle, mask: I32): boolean;
  grammarAccept(answer: Handle, token: number): boolean;
  grammarFree(answer: Handle): void;
}

/**
 * The addon that `npm run build:native` puts into native/.
 * @throws NATIVE_MISSING if it is not there or cannot be loaded; CONFIG_INVALID if ESPALIER_ISA names an instruction set that
 *   is unknown or that this processor does not have.
 */
export function loadAddon(): Addon {
  const path = join(import.meta.dirname, '..', '..', 'native', `espalier.${process.platform}-${process.arch}.node`);
  if (!existsSync(path)) {
    fail('NATIVE_MISSING', `the native kernels are not at ${path}: build them with \`npm run build:native\``);
  }
  let addon: Addon;
  try {
    addon = createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    const message = `the native kernels at ${path} cannot be loaded (${errorMessage(cause)}): build them again with \`npm run build:native\``;
    fail('NATIVE_MISSING', message, { cause });
  }
  try {
    addon.instructionSet();
  } catch (cause) {
    fail('CONFIG_INVALID', errorMessage(cause), { param: 'ESPALIER_ISA', cause });
  }
  return addon;
}

/** `array`, if it is a Float32Array of `length` elements: nothing else may reach the addon. */
export function floats(name: string, array: CachedNumbers, length: number): Float32Array {
  if (!(array instanceof Float32Array)) broken(`${name} is a Float32Array`);
  if (array.length !== length) broken(`${name} has ${array.length} elements where ${length} are expected`);
  return array;
}

/** As {@link floats}, of bfloat16 by their bits. */
export function words(name: string, array: CachedNumbers, length: number): Uint16Array {
  if (!(array instanceof Uint16Array)) broken(`${name} is a Uint16Array`);
  if (array.length !== length) broken(`${name} has ${array.length} elements where ${length} are expected`);
  return array;
}

export function integers(name: string, array: Int32Array, length: number): Int32Array {
  if (!(array instanceof Int32Array)) broken(`${name} is an Int32Array`);
  if (array.length !== length) broken(`${name} has ${array.length} elements where ${length} are expected`);
  return array;
}

/** As {@link integers}, and every element is in [0, bound). */
export function indices(name: string, array: Int32Array, length: number, bound: number): Int32Array {
  integers(name, array, length);
  for (const index of array) {
    if (index < 0 || index >= bound) broken(`${name} holds ${index}, outside [0, ${bound})`);
  }
  return array;
}

/** A dimension: a whole number that fits the addon's 32 bits. */
export function size(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 31) broken(`${name} = ${value} is not a size`);
  return value;
}
