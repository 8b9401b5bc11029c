/** Dense matrices, for what is computed once for an adapter and not for each row. All are row-major. */
import { BufferPool, Inference, type Floats, type Graph, type Kernels, type Tensor } from '../numeric/index.ts';

/** w_OI += scale · b_OR · a_RI */
export function addProduct(kernels: Kernels, w_OI: Floats, b_OR: Tensor, a_RI: Tensor, scale: number): void {
  const [M, K] = b_OR.shape as [number, number];
  kernels.gemm(w_OI, b_OR.data, a_RI.data, { M, N: a_RI.shape[1], K, alpha: scale, accumulate: true });
}

/** b_OR · a_RI */
export function product(kernels: Kernels, b_OR: Tensor, a_RI: Tensor): Tensor {
  const shape = [b_OR.shape[0], a_RI.shape[1]];
  const data = zerosLike(b_OR.data, shape[0] * shape[1]);
  addProduct(kernels, data, b_OR, a_RI, 1);
  return { shape, data };
}

/** What operations give without a tape, as a tensor that holds no buffer of a pool. */
export function computed(kernels: Kernels, body: (g: Graph) => Tensor): Tensor {
  const g = new Inference(kernels, new BufferPool(kernels.name === 'reference' ? 'f64' : 'f32'));
  const { shape, data } = body(g);
  return { shape, data: data.slice() };
}

/** Zeros in the precision of `values`. */
export function zerosLike(values: Floats, length: number): Floats {
  return values instanceof Float64Array ? new Float64Array(length) : new Float32Array(length);
}

/** Multiplies row o by factor_O[o]. */
export function scaleRows(w_OI: Floats, factor_O: ArrayLike<number>): void {
  const I = w_OI.length / factor_O.length;
  for (let o = 0; o < factor_O.length; o++) {
    for (let i = o * I; i < (o + 1) * I; i++) w_OI[i] = w_OI[i] * factor_O[o];
  }
}

/** Multiplies column i by factor_I[i]. */
export function scaleColumns(w_OI: Floats, factor_I: ArrayLike<number>): void {
  const I = factor_I.length;
  for (let i = 0; i < w_OI.length; i++) w_OI[i] = w_OI[i] * factor_I[i % I];
}

/** The Euclidean norm of each row of [O, I], summed in float64. */
export function rowNorms(kernels: Kernels, w_OI: Floats, numRows: number): Float64Array {
  const I = w_OI.length / numRows;
  return Float64Array.from({ length: numRows }, (_, o) =>
    Math.sqrt(kernels.sumSquares(w_OI.subarray(o * I, (o + 1) * I))),
  );
}

/** bias ⊙ (1 − factor): what a scaled output lacks of a bias that is not to be scaled. */
export function unscaledBias(bias: Tensor, factor: Tensor): Tensor {
  const data = factor.data.slice();
  for (let o = 0; o < data.length; o++) data[o] = bias.data[o] * (1 - factor.data[o]);
  return { shape: bias.shape, data };
}
