import { broken } from '../base/index.ts';
import type { Floats } from './kernels.ts';

/** A dense row-major array with a shape. `buffer` identity is owned by whoever allocated it (see graph.ts). */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Floats;
}

export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const length of shape) size *= length;
  return size;
}

export function tensor(shape: readonly number[], data: Floats): Tensor {
  if (data.length !== sizeOf(shape)) broken(`${data.length} values for the shape [${shape.join(', ')}]`);
  return { shape, data };
}

/** Rows begin..end of a matrix, or elements of a vector, sharing its values. */
export function viewRows(x: Tensor, begin: number, end: number): Tensor {
  if (x.shape.length === 1) return { shape: [end - begin], data: x.data.subarray(begin, end) };
  const width = x.shape[1];
  return { shape: [end - begin, width], data: x.data.subarray(begin * width, end * width) };
}
