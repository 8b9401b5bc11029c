import { assert, type Rng } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { Tensor } from '../tensor.ts';
import { addRows, copyRows } from './rows.ts';
import { wholeGradient } from './contribution.ts';

/** y += x, in place on y: the residual connection. */
export function addInPlace(g: Graph, y: Tensor, x: Tensor): void {
  assert(y.data.length === x.data.length, 'both sides of an addition have one size');
  g.kernels.axpy(y.data, x.data, 1);
  g.record(y, [y, x], [], (dy) => {
    if (!g.needsGradient(x)) return;
    const dx = g.gradient(x);
    if (dx.accumulate) g.kernels.axpy(dx.tensor.data, dy.data, 1);
    else dx.tensor.data.set(dy.data);
  });
}

/** [1]: the sum of scalars. */
export function sumOfScalars(g: Graph, terms: readonly Tensor[]): Tensor {
  const sum = g.empty([1]);
  sum.data[0] = terms.reduce((total, { data }) => total + data[0], 0);
  g.record(sum, terms, [], (dSum) => {
    for (const term of terms) {
      const { tensor, accumulate } = g.gradient(term);
      tensor.data[0] = (accumulate ? tensor.data[0] : 0) + dSum.data[0];
    }
  });
  return sum;
}

/** y = silu(gate) · up (Shazeer, 2020). */
export function swiglu(g: Graph, gate: Tensor, up: Tensor): Tensor {
  const y = g.empty(gate.shape);
  g.kernels.swigluForward(y.data, gate.data, up.data);
  g.record(y, [gate, up], [gate, up], (dy) => {
    g.kernels.swigluBackward(wholeGradient(g, gate), wholeGradient(g, up), dy.data, gate.data, up.data);
  });
  return y;
}

/** The rows `rows` of x [T, D], in that order. */
export function gatherRows(g: Graph, x: Tensor, rows: Int32Array): Tensor {
  const y = copyRows(g.empty([rows.length, x.shape[1]]), x, rows);
  g.record(y, [x], [], (dy) => {
    const dx = g.gradient(x);
    if (!dx.accumulate) dx.tensor.data.fill(0);
    addRows(g.kernels, dx.tensor, dy, rows);
  });
  return y;
}

/** Zeroes each value with the given probability and divides the others by 1 − probability (Srivastava et al., 2014). */
export function dropout(g: Graph, x: Tensor, probability: number, rng: Rng): Tensor {
  if (probability === 0) return x;
  const y = g.empty(x.shape);
  const mask = g.empty(x.shape);
  const kept = 1 / (1 - probability);
  const threshold = probability * 2 ** 32;
  const source = g.replayed(rng);
  for (let i = 0; i < x.data.length; i++) {
    const factor = source.nextUint32() < threshold ? 0 : kept;
    mask.data[i] = factor;
    y.data[i] = x.data[i] * factor;
  }
  g.record(y, [x], [mask], (dy) => {
    const dx = g.gradient(x);
    const target = dx.tensor.data;
    for (let i = 0; i < target.length; i++) {
      const contribution = dy.data[i] * mask.data[i];
      target[i] = dx.accumulate ? target[i] + contribution : contribution;
    }
  });
  return y;
}

/** Rows of several tensors one below the other, as a copy: the way back cuts the gradient apart. */
export function joinRows(g: Graph, parts: readonly Tensor[]): Tensor {
  const width = parts[0].shape[1];
  const joined = g.empty([parts.reduce((sum, { shape }) => sum + shape[0], 0), width]);
  let row = 0;
  for (const part of parts) {
    assert(part.shape[1] === width, 'joined rows have one width');
    joined.data.set(part.data, row * width);
    row += part.shape[0];
  }
  g.record(joined, parts, [], (dy) => {
    let offset = 0;
    for (const part of parts) {
      const values = dy.data.subarray(offset, offset + part.data.length);
      offset += part.data.length;
      if (!g.needsGradient(part)) continue;
      const dx = g.gradient(part);
      if (dx.accumulate) g.kernels.axpy(dx.tensor.data, values, 1);
      else dx.tensor.data.set(values);
    }
  });
  return joined;
}
