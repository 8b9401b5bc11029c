/** Faults of the kernels on rows and elements. */
import type { Fault } from './fault.ts';
import { ALONE, fault, nudge, ORACLE } from './fault.ts';

export const rowFaults: readonly Fault[] = [
  // Rows.
  fault('rmsNormForward', 'ignores epsilon', ORACLE, (k) => ({
    rmsNormForward: (y, rstd, x, gain, _, T) => k.rmsNormForward(y, rstd, x, gain, 0, T),
  })),
  fault('rmsNormForward', 'leaves out the gain', ORACLE, (k) => ({
    rmsNormForward: (y, rstd, x, gain, epsilon, T) => k.rmsNormForward(y, rstd, x, gain.slice().fill(1), epsilon, T),
  })),
  fault('rmsNormBackward', 'forgets to accumulate', ORACLE, (k) => ({
    rmsNormBackward: (dx, dy, x, rstd, gain, T) => k.rmsNormBackward(dx, dy, x, rstd, gain, T, false),
  })),
  fault('rmsNormBackward', 'leaves out the term along x', ORACLE, (k) => ({
    rmsNormBackward: (dx, dy, x, rstd, gain, T, accumulate) =>
      k.rmsNormBackward(dx, dy, x.slice().fill(0), rstd, gain, T, accumulate),
  })),
  fault('rmsNormBackward', 'depends on the number of rows', ALONE, (k) => ({
    rmsNormBackward(dx, dy, x, rstd, gain, T, accumulate) {
      k.rmsNormBackward(dx, dy, x, rstd, gain, T, accumulate);
      if (T > 1) nudge(dx, 0);
    },
  })),
  fault('rope', 'ignores inverse', ORACLE, (k) => ({
    rope: (x, positions, table, T, H, E) => k.rope(x, positions, table, T, H, E, false),
  })),
  fault('rope', 'is one position late', ORACLE, (k) => ({
    rope: (x, positions, table, T, H, E, inverse) =>
      k.rope(
        x,
        positions.map((p) => Math.max(0, p - 1)),
        table,
        T,
        H,
        E,
        inverse,
      ),
  })),
  fault('rope', 'swaps sines and cosines', ORACLE, (k) => ({
    rope: (x, positions, table, T, H, E, inverse) =>
      k.rope(
        x,
        positions,
        table.map((_, i) => table[i - (i % E) + ((i + E / 2) % E)]),
        T,
        H,
        E,
        inverse,
      ),
  })),
  fault('embeddingForward', 'reads the next token', ORACLE, (k) => ({
    embeddingForward: (y, table, ids, T) =>
      k.embeddingForward(
        y,
        table,
        ids.map((id) => (id + 1) % table.out),
        T,
      ),
  })),
  // Elements.
  fault('swigluForward', 'swaps gate and up', ORACLE, (k) => ({
    swigluForward: (y, gate, up) => k.swigluForward(y, up, gate),
  })),
  fault('swigluBackward', 'swaps its outputs', ORACLE, (k) => ({
    swigluBackward: (dgate, dup, dy, gate, up) => k.swigluBackward(dup, dgate, dy, gate, up),
  })),
  fault('swigluBackward', 'reads dy after it is overwritten', /over dy/, (k) => ({
    swigluBackward(dgate, dup, dy, gate, up) {
      const first = dy.slice();
      k.swigluBackward(dgate, first, dy, gate, up);
      k.swigluBackward(dy.slice(), dup, dy, gate, up);
    },
  })),
  fault('axpy', 'ignores alpha', ORACLE, (k) => ({ axpy: (y, x) => k.axpy(y, x, 1) })),
  fault('axpy', 'treats the rest of its last sixteen otherwise', ALONE, (k) => ({
    axpy(y, x, alpha) {
      k.axpy(y, x, alpha);
      if (y.length % 16 !== 0) nudge(y, y.length - 1);
    },
  })),
  fault('sumSquares', 'adds in float32', ORACLE, (k) => ({ sumSquares: (x) => Math.fround(k.sumSquares(x)) })),
  fault('sumSquares', 'leaves out the last element', ORACLE, (k) => ({
    sumSquares: (x) => k.sumSquares(x.slice(0, -1)),
  })),
  fault('sumSquares', 'is NaN', ORACLE, () => ({ sumSquares: () => NaN })),
  ...(['step', 'weightDecay', 'gradientScale', 'epsilon'] as const).map((option) =>
    fault('adamW', `gets ${option} wrong`, ORACLE, (k) => ({
      adamW: (w, g, m, v, options) => k.adamW(w, g, m, v, { ...options, [option]: options[option] * 2 + 1 }),
    })),
  ),
  fault('adamW', 'swaps beta1 and beta2', ORACLE, (k) => ({
    adamW: (w, g, m, v, options) => k.adamW(w, g, m, v, { ...options, beta1: options.beta2, beta2: options.beta1 }),
  })),
];
