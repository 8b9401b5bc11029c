/** Rows and columns that are taken out of a matrix, or put into one. */
import { assert } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { Tensor } from '../tensor.ts';
import { zeroedGradient } from './contribution.ts';

/** Where row n of a copy comes from and goes to. */
export interface RowCopies {
  /** Rows of the target; none twice. */
  readonly to: Int32Array;
  /** Rows of the source, one for each of `to`; one may stand more than once. */
  readonly from: Int32Array;
  /** The first column of the source that is read; 0 when missing. */
  readonly column?: number;
}

/**
 * x_TC[to[n]] = source[from[n], column..column + C], in place on x. What flowed into those rows of x belongs to the source: what they held
 * before gets no gradient.
 */
export function replaceRows(g: Graph, x: Tensor, source: Tensor, { to, from, column = 0 }: RowCopies): void {
  const C = x.shape[1];
  const width = source.shape[1];
  assert(to.length === from.length && column + C <= width, 'every replaced row has a source');
  for (const [n, row] of to.entries()) {
    const begin = from[n] * width + column;
    x.data.set(source.data.subarray(begin, begin + C), row * C);
  }
  g.record(x, [x, source], [], (dx) => {
    const dSource = g.needsGradient(source) ? zeroedGradient(g, source) : undefined;
    for (const [n, row] of to.entries()) {
      const dRow = dx.data.subarray(row * C, (row + 1) * C);
      const begin = from[n] * width + column;
      if (dSource) for (let c = 0; c < C; c++) dSource[begin + c] = dSource[begin + c] + dRow[c];
      dRow.fill(0);
    }
  });
}

/** x_TC[to[n]] += scale · source[from[n]], in place on x. */
export function addRows(g: Graph, x: Tensor, source: Tensor, { to, from }: RowCopies, scale: number): void {
  const C = x.shape[1];
  assert(to.length === from.length && source.shape[1] === C, 'every row has something to add');
  for (const [n, row] of to.entries()) {
    for (let c = 0; c < C; c++) x.data[row * C + c] = x.data[row * C + c] + scale * source.data[from[n] * C + c];
  }
  g.record(x, [x, source], [], (dx) => {
    if (!g.needsGradient(source)) return;
    const dSource = zeroedGradient(g, source);
    for (const [n, row] of to.entries()) {
      for (let c = 0; c < C; c++) {
        const at = from[n] * C + c;
        dSource[at] = dSource[at] + scale * dx.data[row * C + c];
      }
    }
  });
}

/** Columns of x_TC by their numbers, as rows: y_NT. A column may stand more than once. */
export function gatherColumns(g: Graph, x: Tensor, columns_N: Int32Array): Tensor {
  const [T, C] = x.shape as [number, number];
  const y = g.empty([columns_N.length, T]);
  for (const [n, column] of columns_N.entries()) {
    for (let t = 0; t < T; t++) y.data[n * T + t] = x.data[t * C + column];
  }
  g.record(y, [x], [], (dy) => {
    const dx = zeroedGradient(g, x);
    for (const [n, column] of columns_N.entries()) {
      for (let t = 0; t < T; t++) dx[t * C + column] = dx[t * C + column] + dy.data[n * T + t];
    }
  });
  return y;
}

/** x_TC[:, columns[k]] = source_TK[:, k], in place on x; no column twice. What was there before gets no gradient. */
export function replaceColumns(g: Graph, x: Tensor, source: Tensor, columns_K: Int32Array): void {
  const [T, C] = x.shape as [number, number];
  const K = columns_K.length;
  assert(source.shape[0] === T && source.shape[1] === K, 'every replaced column has a source');
  for (let t = 0; t < T; t++) {
    for (let k = 0; k < K; k++) x.data[t * C + columns_K[k]] = source.data[t * K + k];
  }
  g.record(x, [x, source], [], (dx) => {
    const dSource = g.needsGradient(source) ? zeroedGradient(g, source) : undefined;
    for (let t = 0; t < T; t++) {
      for (let k = 0; k < K; k++) {
        const at = t * C + columns_K[k];
        if (dSource) dSource[t * K + k] = dSource[t * K + k] + dx.data[at];
        dx.data[at] = 0;
      }
    }
  });
}

/** Columns begin..end of x_TC, as a copy. */
export function sliceColumns(g: Graph, x: Tensor, begin: number, end: number): Tensor {
  const [T, C] = x.shape as [number, number];
  const width = end - begin;
  const y = g.empty([T, width]);
  for (let t = 0; t < T; t++) y.data.set(x.data.subarray(t * C + begin, t * C + end), t * width);
  g.record(y, [x], [], (dy) => {
    const dx = zeroedGradient(g, x);
    for (let t = 0; t < T; t++) {
      for (let c = 0; c < width; c++) {
        const at = t * C + begin + c;
        dx[at] = dx[at] + dy.data[t * width + c];
      }
    }
  });
  return y;
}

/** Matrices of as many rows side by side, as a copy. */
export function joinColumns(g: Graph, parts: readonly Tensor[]): Tensor {
  const T = parts[0].shape[0];
  const C = parts.reduce((sum, { shape }) => sum + shape[1], 0);
  const joined = g.empty([T, C]);
  let filled = 0;
  for (const part of parts) {
    const width = part.shape[1];
    for (let t = 0; t < T; t++) joined.data.set(part.data.subarray(t * width, (t + 1) * width), t * C + filled);
    filled += width;
  }
  g.record(joined, parts, [], (dy) => {
    let column = 0;
    for (const part of parts) {
      const width = part.shape[1];
      if (g.needsGradient(part)) {
        const dPart = zeroedGradient(g, part);
        for (let t = 0; t < T; t++) {
          for (let c = 0; c < width; c++) {
            const from = t * width + c;
            dPart[from] = dPart[from] + dy.data[t * C + column + c];
          }
        }
      }
      column += width;
    }
  });
  return joined;
}
