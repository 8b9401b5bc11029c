/**
 * The contract of a kernel set. Two implementations: `reference/` (float64, naive, the oracle) and `native.ts` (Rust).
 *
 * Shape legend, in suffixes of names: T rows (packed tokens), N rows with loss, D model width, I/O a linear layer's inputs
 * and outputs, F feed-forward width, H query heads, G key-value heads, E head width, V vocabulary, R rank. All arrays are dense, row-major.
 *
 * Rules for every kernel: each output element is a sum in one fixed order that depends on nothing but that element's own
 * inputs (not on T, the thread count or other rows); a forward's backward stands beside it; gradients are prefixed `d`;
 * `accumulate` means `+=` instead of `=`. Callers pass arrays of exactly the stated length.
 */
import type { ProgramSpan } from './row-program.ts';

export type Floats = Float32Array | Float64Array;

/**
 * How a frozen matrix is stored: exact float32, bfloat16 (nearest even), int8 with one float32 scale per output row, or NF4 in blocks of 64
 * whose magnitudes are quantised too (Dettmers et al., 2023).
 */
export type WeightFormat = 'f32' | 'bf16' | 'int8' | 'nf4';
export const WEIGHT_FORMATS: readonly WeightFormat[] = ['f32', 'bf16', 'int8', 'nf4'];

/**
 * What a product rounds its operands to: `f32` multiplies float32 by what the weight stands for; `bf16` rounds activations, and weights of any
 * format but f32, to bfloat16 and adds up in float32, as mixed precision does on a processor with such products; `int8` rounds the activations of
 * int8 weights to int8, in blocks of 32 with a float32 scale each, and adds up whole numbers. The way back is never in int8: dy stays float32.
 */
export type ComputeDtype = 'f32' | 'bf16' | 'int8';
export const COMPUTE_DTYPES: readonly ComputeDtype[] = ['f32', 'bf16', 'int8'];

/** A flattened matrix in NF4: number i is the value of its code times the magnitude of block i / 64. */
export interface Nf4Codes {
  /** Two codes a byte, the first in the high half. */
  readonly codes: Uint8Array;
  /** One for every 64 numbers, as the float32 that they stand for if they were quantised. */
  readonly magnitudes: Float32Array;
}

/** A flattened matrix quantised twice, in bitsandbytes' terms. */
export interface Nf4Quantised {
  readonly codes: Uint8Array;
  /** The magnitude of each 64 numbers, before its own quantisation. */
  readonly absmax: Float32Array;
  /** The magnitudes once more: entry code of `map` times the absmax of its 256, plus `offset`. */
  readonly nested: {
    readonly codes: Uint8Array;
    readonly absmax: Float32Array;
    readonly map: Float32Array;
    readonly offset: number;
  };
}

/**
 * A weight of the base: packed once, usable for `x·Wᵀ` and `dy·W`, never written again, without a gradient.
 * PEFT's economy is in this type: nobody can compute or store a gradient for it. W has shape [out, in].
 */
export interface FrozenMatrix {
  readonly out: number;
  readonly in: number;
  readonly format: WeightFormat;
  /** How the products with it are made: f32 where it does not say. */
  readonly computeDtype?: ComputeDtype;
}

/** A file of packed matrices, mapped read-only and shared between processes. */
export interface MappedWeights {
  /** The matrix that {@link Kernels.packInto} wrote at `byteOffset` (a multiple of 64). @throws CONFIG_INVALID as {@link Kernels.freeze} */
  matrix(
    byteOffset: number,
    out: number,
    inputs: number,
    format: WeightFormat,
    computeDtype?: ComputeDtype,
  ): FrozenMatrix;
}

export interface GemmShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** The first operand is stored [K, M] instead of [M, K]. */
  readonly transposeA?: boolean;
  /** The second operand is stored [N, K] instead of [K, N]. */
  readonly transposeB?: boolean;
  readonly alpha?: number;
  readonly accumulate?: boolean;
}

export interface AttentionShape {
  readonly T: number;
  readonly H: number;
  readonly G: number;
  readonly E: number;
  /** Factor of the scores, usually 1/sqrt(E). */
  readonly scale: number;
}

/** Keys or values in a cache: both caches of a call are of one kind. Words are bfloat16 by their bits; what is written is rounded to the nearest. */
export type CachedNumbers = Floats | Uint16Array;

/** Which cached keys a row sees: row t reads keys 0..contextLengths[t] of the sequence `rowSequences[t]`. */
export interface PagedRows {
  /** [T] index of each row's sequence into `blockTables`. */
  readonly rowSequences: Int32Array;
  /** [T] number of keys that each row sees, its own included. */
  readonly contextLengths: Int32Array;
  /** [numSequences, maxBlocks] block numbers. */
  readonly blockTables: Int32Array;
  readonly maxBlocks: number;
  readonly blockSize: number;
}

/** Which rows of a batch follow which programs (row-program.ts), looked up once for all layers of a step. */
export interface BoundRows {
  /** Whether a row has operations before the layer of this slot: else {@link Kernels.scaleInputs} need not be called. */
  isBefore(slot: number): boolean;
  /** Whether a row has operations after it: else {@link Kernels.applyRows} need not be called. */
  isAfter(slot: number): boolean;
}

export interface AdamW {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** 1 for the first step: bias correction. */
  readonly step: number;
  /** Every gradient is multiplied by this first: 1/weightSum and the clipping factor together. */
  readonly gradientScale: number;
}

export interface Kernels {
  /** `reference`, or the instruction set in use: `portable`, `avx2`, `avx512`, `avx512bf16`, `neon`. */
  readonly name: string;

  /** A frozen copy of the dense W_OI in memory. @throws CONFIG_INVALID there are no products in this dtype here */
  freeze(
    weight_OI: Floats,
    out: number,
    inputs: number,
    format: WeightFormat,
    computeDtype?: ComputeDtype,
  ): FrozenMatrix;
  /** A frozen copy in memory of NF4 codes that were made before, W [out, in] flattened row by row. */
  freezeNf4(weight: Nf4Codes, out: number, inputs: number): FrozenMatrix;
  /** The dense values that a frozen matrix stands for (dequantised), [out, in]. */
  thaw(weight: FrozenMatrix): Floats;

  /** y_TO (+)= x_TI · Wᵀ */
  linearForward(y_TO: Floats, x_TI: Floats, weight: FrozenMatrix, T: number, accumulate: boolean): void;
  /** dx_TI (+)= dy_TO · W */
  linearBackward(dx_TI: Floats, dy_TO: Floats, weight: FrozenMatrix, T: number, accumulate: boolean): void;

  /** c_MN (+)= alpha · A · B for small trainable matrices; sums run over k in rising order. */
  gemm(c_MN: Floats, a: Floats, b: Floats, shape: GemmShape): void;

  /** y = x · rstd · gain with rstd_T = 1/sqrt(mean(x²) + epsilon), which is written too (Zhang and Sennrich, 2019). */
  rmsNormForward(y_TD: Floats, rstd_T: Floats, x_TD: Floats, gain_D: Floats, epsilon: number, T: number): void;
  rmsNormBackward(
    dx_TD: Floats,
    dy_TD: Floats,
    x_TD: Floats,
    rstd_T: Floats,
    gain_D: Floats,
    T: number,
    accumulate: boolean,
  ): void;

  /**
   * Rotates in place the pairs (x[i], x[i + E/2]) of every head by the angle position · frequency_i (Su et al., 2021, in the
   * half-split layout of Hugging Face's Llama). `cosSin` is [numPositions, E]: E/2 cosines, then E/2 sines. `inverse` rotates back: the vjp.
   */
  rope(x_THE: Floats, positions_T: Int32Array, cosSin: Floats, T: number, H: number, E: number, inverse: boolean): void;

  /** y = silu(gate) · up, all [T, F] (Shazeer, 2020). */
  swigluForward(y: Floats, gate: Floats, up: Floats): void;
  /** Writes dgate and dup; either may be the same array as dy. */
  swigluBackward(dgate: Floats, dup: Floats, dy: Floats, gate: Floats, up: Floats): void;

  /**
   * Causal attention inside segments of X places: a place sees those from segmentStarts_X[x] on up to itself. Each place is a row, or row
   * rows_X[x] where rows stand in several segments: a segment then begins with rows of earlier ones, and goes on with the next new ones; a
   * row attends from its first place. Query head h reads key-value head floor(h·G/H).
   * lse_TH gets log Σ exp(score), the backward's only extra memory: there is no T×T matrix (Dao et al., 2022).
   */
  attentionForward(
    out_THE: Floats,
    lse_TH: Floats,
    q_THE: Floats,
    k_TGE: Floats,
    v_TGE: Floats,
    segmentStarts_X: Int32Array,
    shape: AttentionShape,
    rows_X?: Int32Array,
  ): void;
  /** Writes (not accumulates) dq, dk and dv. Those of a shared key are summed over the segments, in their order. */
  attentionBackward(
    dq_THE: Floats,
    dk_TGE: Floats,
    dv_TGE: Floats,
    dout_THE: Floats,
    out_THE: Floats,
    lse_TH: Floats,
    q_THE: Floats,
    k_TGE: Floats,
    v_TGE: Floats,
    segmentStarts_X: Int32Array,
    shape: AttentionShape,
    rows_X?: Int32Array,
  ): void;
  /** Writes each row's key and value into the cache, as the last ones that the row sees; no two rows may have the same place. */
  cacheKeyValues(
    kCache: CachedNumbers,
    vCache: CachedNumbers,
    k_TGE: Floats,
    v_TGE: Floats,
    rows: PagedRows,
    shape: AttentionShape,
  ): void;
  /**
   * Attention over cached keys and values, with the sums of {@link attentionForward}. Keys stand transposed in their block, [numBlocks, G, E,
   * blockSize], values are [numBlocks, G, blockSize, E].
   */
  attentionPaged(
    out_THE: Floats,
    q_THE: Floats,
    kCache: CachedNumbers,
    vCache: CachedNumbers,
    rows: PagedRows,
    shape: AttentionShape,
  ): void;

  /** Spans rise and share no row; rows of no span are the base's. The programs must not change while the result is in use. */
  bindRows(spans: readonly ProgramSpan[]): BoundRows;
  /** out_TI = x_TI, times the factors that a row has before the layer of this slot. */
  scaleInputs(out_TI: Floats, x_TI: Floats, rows: BoundRows, slot: number, T: number): void;
  /** What a row does after the layer of this slot, to the layer's output y_TO; x_TI is the layer's own input. Same sums as {@link gemm}. */
  applyRows(y_TO: Floats, x_TI: Floats, rows: BoundRows, slot: number, T: number): void;

  /** best_N[n] = the lowest index of the highest of row n of x_NV, or −1 where the row holds a NaN. */
  argmaxRows(best_N: Int32Array, x_NV: Floats, N: number): void;

  /** y_TD = rows of the table W_VD at tokenIds. */
  embeddingForward(y_TD: Floats, table: FrozenMatrix, tokenIds_T: Int32Array, T: number): void;

  /**
   * Cross-entropy of softmax(x · Wᵀ) at N positions, in chunks: no [N, V] matrix is held. losses_N gets each row's -log p(target)
   * (unweighted). If dx_ND is given it gets weight_n · d loss_n / dx_n. isTop_N (if given) gets 1 where the target has the highest logit.
   */
  linearCrossEntropy(
    losses_N: Floats,
    dx_ND: Floats | null,
    isTop_N: Uint8Array | null,
    x_ND: Floats,
    weight_VD: FrozenMatrix,
    targets_N: Int32Array,
    weights_N: Floats,
    N: number,
  ): void;

  /** y += alpha · x */
  axpy(y: Floats, x: Floats, alpha: number): void;
  /** Σ x² in float64, in a fixed order. */
  sumSquares(x: Floats): number;
  /** One step in place (Loshchilov and Hutter, 2019): decoupled weight decay, bias-corrected moments. */
  adamW(weights: Floats, gradients: Floats, moment1: Floats, moment2: Floats, options: AdamW): void;
}

/** What only the native kernels offer: packed files, and the quantiser by itself. */
export interface PackingKernels extends Kernels {
  /** Names how a format's matrices are arranged; files of different layouts are not interchangeable. */
  layoutName(format: WeightFormat): string;
  /** Bytes that a packed matrix takes in a file, a multiple of 64. */
  packedBytes(out: number, inputs: number, format: WeightFormat): number;
  /** Packs W_OI into `target`, which has exactly {@link packedBytes} bytes. */
  packInto(target: Uint8Array, weight_OI: Float32Array, out: number, inputs: number, format: WeightFormat): void;
  /** As {@link packInto} of the format `nf4`, with codes that were made before. */
  packNf4Into(target: Uint8Array, weight: Nf4Codes, out: number, inputs: number): void;
  /** The codes and magnitudes that the format `nf4` gives a flattened matrix, bit for bit those of bitsandbytes. */
  quantiseNf4(weight: Float32Array): Nf4Quantised;
  mapWeights(path: string): MappedWeights;
}
