import { assert, errorMessage, fail } from '../base/index.ts';
import {
  type ComputeDtype,
  type FrozenMatrix,
  type MappedWeights,
  type PackingKernels,
  WEIGHT_FORMATS,
  type WeightFormat,
} from './kernels.ts';
import { type Addon, type Handle, floats, indices, size } from './native-addon.ts';
import { type Nf4Functions, nativeNf4 } from './native-nf4.ts';

type Matrices = Pick<
  PackingKernels,
  | 'freeze'
  | 'thaw'
  | 'linearForward'
  | 'linearBackward'
  | 'gemm'
  | 'embeddingForward'
  | 'linearCrossEntropy'
  | 'packedBytes'
  | 'packInto'
  | 'mapWeights'
> &
  Nf4Functions;

/** A matrix in the addon's memory or in a mapped file. */
class NativeMatrix implements FrozenMatrix {
  readonly out: number;
  readonly in: number;
  readonly format: WeightFormat;
  readonly computeDtype: ComputeDtype;
  readonly handle: Handle;

  constructor(out: number, inputs: number, format: WeightFormat, handle: Handle, computeDtype: ComputeDtype = 'f32') {
    this.out = out;
    this.in = inputs;
    this.format = format;
    this.computeDtype = computeDtype;
    this.handle = handle;
  }
}

function native(weight: FrozenMatrix): NativeMatrix {
  assert(weight instanceof NativeMatrix, 'a frozen matrix is used by the kernels that made it');
  return weight;
}

function checkMatrix(out: number, inputs: number, format: WeightFormat): void {
  size('out', out);
  size('in', inputs);
  assert(WEIGHT_FORMATS.includes(format), `${format} is no format of weights`);
}

/** @throws CONFIG_INVALID the instruction set in use has no such products */
function requireCompute(addon: Addon, computeDtype: ComputeDtype): void {
  if (addon.computeDtypes().includes(computeDtype)) return;
  const needs = computeDtype === 'bf16' ? 'AVX-512 BF16' : 'AVX-512 VNNI';
  const message = `products in ${computeDtype} need a processor with ${needs}, and the instruction set in use is ${addon.instructionSet()}: compute in f32`;
  fail('CONFIG_INVALID', message, { param: 'compute' });
}

class NativeFile implements MappedWeights {
  readonly #addon: Addon;
  readonly #path: string;
  readonly #file: Handle;

  constructor(addon: Addon, path: string) {
    this.#addon = addon;
    this.#path = path;
    try {
      this.#file = addon.mapWeights(path);
    } catch (cause) {
      fail('FILE_INVALID', `the packed weights ${errorMessage(cause)}`, { param: path, cause });
    }
  }

  matrix(
    byteOffset: number,
    out: number,
    inputs: number,
    format: WeightFormat,
    computeDtype: ComputeDtype = 'f32',
  ): FrozenMatrix {
    checkMatrix(out, inputs, format);
    requireCompute(this.#addon, computeDtype);
    assert(Number.isSafeInteger(byteOffset) && byteOffset >= 0 && byteOffset % 64 === 0, 'an offset is 64 · n');
    try {
      const handle = this.#addon.mappedMatrix(this.#file, byteOffset, out, inputs, format, computeDtype);
      return new NativeMatrix(out, inputs, format, handle, computeDtype);
    } catch (cause) {
      const message = `${this.#path}: ${errorMessage(cause)}. Delete the file: it is packed again`;
      fail('FILE_INVALID', message, { param: this.#path, cause });
    }
  }
}

/** The kernels on matrices: products, tables, the loss, and packed files. Every argument is checked here. */
export function nativeMatrices(addon: Addon): Matrices {
  return {
    freeze(weight_OI, out, inputs, format, computeDtype = 'f32') {
      checkMatrix(out, inputs, format);
      requireCompute(addon, computeDtype);
      const dense = weight_OI instanceof Float32Array ? weight_OI : Float32Array.from(weight_OI);
      const handle = addon.freeze(floats('weight', dense, out * inputs), out, inputs, format, computeDtype);
      return new NativeMatrix(out, inputs, format, handle, computeDtype);
    },

    thaw(weight) {
      const dense = new Float32Array(weight.out * weight.in);
      addon.thaw(dense, native(weight).handle);
      return dense;
    },

    linearForward(y_TO, x_TI, weight, T, accumulate) {
      const y = floats('y', y_TO, size('T', T) * weight.out);
      addon.linearForward(y, floats('x', x_TI, T * weight.in), native(weight).handle, T, accumulate);
    },

    linearBackward(dx_TI, dy_TO, weight, T, accumulate) {
      const dx = floats('dx', dx_TI, size('T', T) * weight.in);
      addon.linearBackward(dx, floats('dy', dy_TO, T * weight.out), native(weight).handle, T, accumulate);
    },

    gemm(c_MN, a, b, { M, N, K, transposeA = false, transposeB = false, alpha = 1, accumulate = false }) {
      const c = floats('c', c_MN, size('M', M) * size('N', N));
      const [left, right] = [floats('a', a, M * size('K', K)), floats('b', b, K * N)];
      addon.gemm(c, left, right, M, N, K, transposeA, transposeB, alpha, accumulate);
    },

    embeddingForward(y_TD, table, tokenIds_T, T) {
      const tokenIds = indices('tokenIds', tokenIds_T, size('T', T), table.out);
      addon.embeddingForward(floats('y', y_TD, T * table.in), native(table).handle, tokenIds);
    },

    linearCrossEntropy(losses_N, dx_ND, isTop_N, x_ND, weight_VD, targets_N, weights_N, N) {
      const losses = floats('losses', losses_N, size('N', N));
      const dx = dx_ND && floats('dx', dx_ND, N * weight_VD.in);
      assert(!isTop_N || isTop_N.length === N, `isTop has ${isTop_N?.length} elements where ${N} are expected`);
      const x = floats('x', x_ND, N * weight_VD.in);
      const targets = indices('targets', targets_N, N, weight_VD.out);
      const weights = floats('weights', weights_N, N);
      addon.linearCrossEntropy(losses, dx, isTop_N, x, native(weight_VD).handle, targets, weights);
    },

    packedBytes(out, inputs, format) {
      checkMatrix(out, inputs, format);
      return addon.packedBytes(out, inputs, format);
    },

    packInto(target, weight_OI, out, inputs, format) {
      checkMatrix(out, inputs, format);
      const bytes = addon.packedBytes(out, inputs, format);
      assert(target.length === bytes, `the target has ${target.length} bytes where ${bytes} are expected`);
      addon.packInto(target, floats('weight', weight_OI, out * inputs), out, inputs, format);
    },

    mapWeights(path) {
      return new NativeFile(addon, path);
    },

    ...nativeNf4(addon, (out, inputs, handle) => new NativeMatrix(out, inputs, 'nf4', handle)),
  };
}
