/** The gated activation y = silu(gate) · up (Shazeer, 2020), one element at a time. */
import type { Floats } from '../kernels.ts';
import { requireLength } from './lengths.ts';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export function swigluForward(y: Floats, gate: Floats, up: Floats): void {
  requireLength('gate', gate, y.length);
  requireLength('up', up, y.length);
  for (let i = 0; i < y.length; i++) y[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

/** silu'(g) = σ(g) · (1 + g · (1 − σ(g))). Either output may be the array dy itself. */
export function swigluBackward(dgate: Floats, dup: Floats, dy: Floats, gate: Floats, up: Floats): void {
  requireLength('dgate', dgate, dy.length);
  requireLength('dup', dup, dy.length);
  requireLength('gate', gate, dy.length);
  requireLength('up', up, dy.length);
  for (let i = 0; i < dy.length; i++) {
    const d = dy[i];
    const sigma = sigmoid(gate[i]);
    dgate[i] = d * up[i] * sigma * (1 + gate[i] * (1 - sigma));
    dup[i] = d * gate[i] * sigma;
  }
}
