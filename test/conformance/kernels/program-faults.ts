/** Faults of what adapters do to their rows. */
import type { ProgramSpan } from '../../../src/numeric/row-program.ts';
import type { Fault } from './fault.ts';
import { ALONE, fault, nudge, ORACLE } from './fault.ts';

/** The spans with the programs of their neighbours. */
const rotated = (spans: readonly ProgramSpan[]): ProgramSpan[] =>
  spans.map((span, n) => ({ ...span, program: spans[(n + 1) % spans.length].program }));

export const programFaults: readonly Fault[] = [
  fault('bindRows', 'forgets the last span', ORACLE, (k) => ({ bindRows: (spans) => k.bindRows(spans.slice(0, -1)) })),
  fault('bindRows', 'gives rows the program of their neighbours', ORACLE, (k) => ({
    bindRows: (spans) => k.bindRows(rotated(spans)),
  })),
  fault('bindRows', 'leaves out the first row of a span', ORACLE, (k) => ({
    bindRows: (spans) =>
      k.bindRows(spans.flatMap((span) => (span.end - span.begin > 1 ? [{ ...span, begin: span.begin + 1 }] : []))),
  })),
  fault('bindRows', 'says that every slot has operations', /says which slots/, (k) => ({
    bindRows: (spans) => Object.assign(k.bindRows(spans), { isBefore: () => true, isAfter: () => true }),
  })),
  ...(['scaleInputs', 'applyRows'] as const).flatMap((method) => [
    fault(method, 'works on another slot', ORACLE, (k) => ({
      [method]: (out: Float32Array, x: Float32Array, rows: never, slot: number, T: number) =>
        k[method](out, x, rows, slot + 1, T),
    })),
    fault(method, 'depends on the number of rows', ALONE, (k) => ({
      [method](out: Float32Array, x: Float32Array, rows: never, slot: number, T: number) {
        k[method](out, x, rows, slot, T);
        if (T > 1) nudge(out, out.length - 1);
      },
    })),
    fault(method, 'changes a row of the base', ORACLE, (k) => ({
      [method](out: Float32Array, x: Float32Array, rows: never, slot: number, T: number) {
        k[method](out, x, rows, slot, T);
        out[0] += 0.01;
      },
    })),
  ]),
  fault('applyRows', 'applies everything twice', ORACLE, (k) => ({
    applyRows(y, x, rows, slot, T) {
      k.applyRows(y, x, rows, slot, T);
      k.applyRows(y, x, rows, slot, T);
    },
  })),
  fault('applyRows', 'sums in another order than gemm', /bits of two products/, (k) => ({
    applyRows(y, x, rows, slot, T) {
      k.applyRows(y, x, rows, slot, T);
      if (T > 1) nudge(y, y.length - 1);
    },
  })),
  // The cache of keys and values.
  fault('cacheKeyValues', 'exchanges keys and values', ORACLE, (k) => ({
    cacheKeyValues: (keys, values, key, value, rows, shape) => k.cacheKeyValues(keys, values, value, key, rows, shape),
  })),
  fault('cacheKeyValues', 'writes one place too early', ORACLE, (k) => ({
    cacheKeyValues: (keys, values, key, value, rows, shape) =>
      k.cacheKeyValues(
        keys,
        values,
        key,
        value,
        { ...rows, contextLengths: rows.contextLengths.map((length) => Math.max(1, length - 1)) },
        shape,
      ),
  })),
  // The highest of a row.
  fault('argmaxRows', 'takes the last of equal numbers', /argmaxRows/, () => ({
    argmaxRows(best, x, N) {
      const V = x.length / N;
      for (let n = 0; n < N; n++)
        best[n] = x.subarray(n * V, (n + 1) * V).lastIndexOf(Math.max(...x.subarray(n * V, (n + 1) * V)));
    },
  })),
  fault('argmaxRows', 'leaves out the last column', /argmaxRows/, (k) => ({
    argmaxRows(best, x, N) {
      const V = x.length / N;
      const shorter = x.map((value, i) => (V > 1 && i % V === V - 1 ? -Infinity : value));
      k.argmaxRows(best, shorter, N);
    },
  })),
  fault('argmaxRows', 'names the highest beside a NaN', /argmaxRows/, (k) => ({
    argmaxRows(best, x, N) {
      k.argmaxRows(
        best,
        x.map((value) => (Number.isNaN(value) ? -Infinity : value)),
        N,
      );
    },
  })),
  fault('argmaxRows', 'looks at the first row only', /argmaxRows/, (k) => ({
    argmaxRows(best, x, N) {
      k.argmaxRows(best, x, N);
      best.fill(best[0]);
    },
  })),
];
