/** Faults of attention: its mask, its heads' sharing, its scale, its pages. */
import type { Fault } from './fault.ts';
import { ALONE, fault, nudge, ORACLE } from './fault.ts';

const shiftRight = (starts: Int32Array): Int32Array => starts.map((start, t) => Math.min(start + 1, t));

export const attentionFaults: readonly Fault[] = [
  ...(['attentionForward', 'attentionBackward'] as const).map((method) =>
    fault(method, 'does not see the first key of its segment', ORACLE, (k) => ({
      [method]: (...args: unknown[]): unknown => {
        const starts = args.findIndex((arg) => arg instanceof Int32Array);
        return Reflect.apply(Reflect.get(k, method), k, args.with(starts, shiftRight(args[starts] as Int32Array)));
      },
    })),
  ),
  fault('attentionForward', 'does not see its own key', ORACLE, (k) => ({
    attentionForward: (out, lse, q, keys, v, starts, shape, rows) => {
      const [width, late] = [shape.G * shape.E, v.slice()];
      late.set(v.subarray(0, Math.max(0, v.length - width)), Math.min(width, v.length));
      k.attentionForward(out, lse, q, keys, late, starts, shape, rows);
    },
  })),
  fault('attentionForward', 'sees other segments', ORACLE, (k) => ({
    attentionForward: (out, lse, q, keys, v, starts, shape, rows) =>
      k.attentionForward(
        out,
        lse,
        q,
        keys,
        v,
        starts.map(() => 0),
        shape,
        rows,
      ),
  })),
  fault('attentionForward', 'disturbs a row that others share', /shared rows/, (k) => ({
    attentionForward(out, lse, q, keys, v, starts, shape, rows) {
      k.attentionForward(out, lse, q, keys, v, starts, shape, rows);
      if (rows) out[0] *= 1.01;
    },
  })),
  fault('attentionBackward', 'forgets the shares of later segments', /shared rows/, (k) => ({
    attentionBackward(dq, dk, dv, dout, out, lse, q, keys, v, starts, shape, rows) {
      k.attentionBackward(dq, dk, dv, dout, out, lse, q, keys, v, starts, shape, rows);
      if (rows) dk[0] *= 0.5;
    },
  })),
  fault('attentionForward', 'leaves out the scale', ORACLE, (k) => ({
    attentionForward: (out, lse, q, keys, v, starts, shape, rows) =>
      k.attentionForward(out, lse, q, keys, v, starts, { ...shape, scale: 1 }, rows),
  })),
  fault('attentionForward', 'overflows for large scores', /large scores/, (k) => ({
    attentionForward(out, lse, q, keys, v, starts, shape, rows) {
      k.attentionForward(out, lse, q, keys, v, starts, shape, rows);
      for (let i = 0; i < lse.length; i++) if (lse[i] > 88) out.fill(NaN);
    },
  })),
  fault('attentionForward', 'depends on the segment before', ALONE, (k) => ({
    attentionForward(out, lse, q, keys, v, starts, shape, rows) {
      k.attentionForward(out, lse, q, keys, v, starts, shape, rows);
      if ((starts.at(-1) ?? 0) > 0) nudge(out, out.length - 1);
    },
  })),
  fault('attentionBackward', 'leaves out the scale', ORACLE, (k) => ({
    attentionBackward(dq, dk, dv, dout, out, lse, q, keys, v, starts, shape, rows) {
      k.attentionBackward(dq, dk, dv, dout, out, lse, q, keys, v, starts, shape, rows);
      for (let i = 0; i < dk.length; i++) dk[i] /= shape.scale;
    },
  })),
  fault('attentionPaged', 'sees one key less', ORACLE, (k) => ({
    attentionPaged: (out, q, keys, v, rows, shape) =>
      k.attentionPaged(
        out,
        q,
        keys,
        v,
        { ...rows, contextLengths: rows.contextLengths.map((length) => Math.max(1, length - 1)) },
        shape,
      ),
  })),
  fault('attentionPaged', 'reads the blocks of the sequence before', ORACLE, (k) => ({
    attentionPaged: (out, q, keys, v, rows, shape) =>
      k.attentionPaged(
        out,
        q,
        keys,
        v,
        { ...rows, rowSequences: rows.rowSequences.map((sequence) => Math.max(0, sequence - 1)) },
        shape,
      ),
  })),
  fault('attentionPaged', 'sums in another order than packed attention', /packed rows/, (k) => ({
    attentionPaged(out, q, keys, v, rows, shape) {
      k.attentionPaged(out, q, keys, v, rows, shape);
      if (shape.T > 0) nudge(out, 0);
    },
  })),
  fault('attentionPaged', 'reads the first key for a row without keys', /without keys/, (k) => ({
    attentionPaged: (out, q, keys, v, rows, shape) =>
      k.attentionPaged(
        out,
        q,
        keys,
        v,
        { ...rows, contextLengths: rows.contextLengths.map((length) => Math.max(1, length)) },
        shape,
      ),
  })),
  fault('attentionPaged', 'reads the words of a cache as whole numbers', /a cache in bfloat16/, (k) => ({
    attentionPaged(out, q, keys, v, rows, shape) {
      if (!(keys instanceof Uint16Array)) k.attentionPaged(out, q, keys, v, rows, shape);
      else k.attentionPaged(out, q, Float32Array.from(keys), Float32Array.from(v), rows, shape);
    },
  })),
  fault('cacheKeyValues', 'cuts keys off where it should round them', /holds what the reference rounds/, (k) => ({
    cacheKeyValues(keys, values, key, value, rows, shape) {
      const cut = Float32Array.from(key);
      if (keys instanceof Uint16Array) new Uint32Array(cut.buffer).forEach((bits, i, all) => (all[i] = bits & ~0xffff));
      k.cacheKeyValues(keys, values, cut, value, rows, shape);
    },
  })),
];
