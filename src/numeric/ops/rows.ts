import type { Kernels } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';

/** Row n of `target` becomes row rows[n] of `source`. */
export function copyRows(target: Tensor, source: Tensor, rows: Int32Array): Tensor {
  const D = source.shape[1];
  eachRun(rows, (n, row, count) => target.data.set(source.data.subarray(row * D, (row + count) * D), n * D));
  return target;
}

/** Row rows[n] of `target` += row n of `source`, in the order of n. */
export function addRows(kernels: Kernels, target: Tensor, source: Tensor, rows: Int32Array): void {
  const D = source.shape[1];
  eachRun(rows, (n, row, count) => {
    const sums = target.data.subarray(row * D, (row + count) * D);
    kernels.axpy(sums, source.data.subarray(n * D, (n + count) * D), 1);
  });
}

/** Rows that follow one another do so in both: a run of `count` from place `n` and from `row` on. */
function eachRun(rows: Int32Array, body: (n: number, row: number, count: number) => void): void {
  for (let begin = 0, end = 1; begin < rows.length; begin = end++) {
    while (end < rows.length && rows[end] === rows[end - 1] + 1) end++;
    body(begin, rows[begin], end - begin);
  }
}
