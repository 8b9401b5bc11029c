/** Faults of the kernels on frozen and trainable matrices. */
import type { FrozenMatrix } from '../../../src/numeric/kernels.ts';
import type { Fault } from './fault.ts';
import { ALONE, fault, nudge, ORACLE } from './fault.ts';

export const matrixFaults: readonly Fault[] = [
  // Linear layers.
  fault('linearForward', 'forgets to accumulate', ORACLE, (k) => ({
    linearForward: (y, x, w, T) => k.linearForward(y, x, w, T, false),
  })),
  fault('linearForward', 'always accumulates', ORACLE, (k) => ({
    linearForward: (y, x, w, T) => k.linearForward(y, x, w, T, true),
  })),
  fault('linearForward', 'leaves out the last input', ORACLE, (k) => ({
    linearForward: (y, x, w, T, accumulate) =>
      k.linearForward(
        y,
        x.map((value, i) => (i % w.in === w.in - 1 ? 0 : value)),
        w,
        T,
        accumulate,
      ),
  })),
  fault('linearForward', 'depends on the number of rows', ALONE, (k) => ({
    linearForward(y, x, w, T, accumulate) {
      k.linearForward(y, x, w, T, accumulate);
      if (T > 1) nudge(y, 0);
    },
  })),
  fault('linearForward', 'depends on the number of outputs', /output alone/, (k) => ({
    linearForward(y, x, w, T, accumulate) {
      k.linearForward(y, x, w, T, accumulate);
      if (w.out > 1) nudge(y, 0);
    },
  })),
  fault('linearBackward', 'forgets to accumulate', ORACLE, (k) => ({
    linearBackward: (dx, dy, w, T) => k.linearBackward(dx, dy, w, T, false),
  })),
  fault('linearBackward', 'reads the weight of the row before', ORACLE, (k) => ({
    linearBackward: (dx, dy, w, T, accumulate) =>
      k.linearBackward(dx, Float32Array.of(...dy.subarray(1), 0).subarray(0, dy.length), w, T, accumulate),
  })),
  fault('linearBackward', 'depends on the number of rows', ALONE, (k) => ({
    linearBackward(dx, dy, w, T, accumulate) {
      k.linearBackward(dx, dy, w, T, accumulate);
      if (T > 1) nudge(dx, dx.length - 1);
    },
  })),
  // Formats.
  fault('freeze', 'transposes the weight', ORACLE, (k) => ({
    freeze: (w, out, inputs, format) =>
      k.freeze(
        w.map((_, i) => w[(i % inputs) * out + Math.floor(i / inputs)]),
        out,
        inputs,
        format,
      ),
  })),
  fault('freeze', 'stores bf16 for int8', /exactly the values/, (k) => ({
    freeze: (w, out, inputs, format) => k.freeze(w, out, inputs, format === 'int8' ? 'bf16' : format),
  })),
  fault('freeze', 'truncates to bf16 instead of rounding', /exactly the values/, (k) => ({
    freeze(w, out, inputs, format) {
      const bits = new Uint32Array(Float32Array.from(w).buffer).map((b) => (format === 'bf16' ? b & 0xffff0000 : b));
      return k.freeze(new Float32Array(bits.buffer), out, inputs, format);
    },
  })),
  fault('thaw', 'forgets the scale of the second row', /exactly the values/, (k) => ({
    thaw(w) {
      const values = k.thaw(w);
      return values.map((value, i) => (w.format === 'int8' && Math.floor(i / w.in) === 1 ? value * 2 : value));
    },
  })),
  fault('freeze', 'stores int8 for nf4', /exactly the values/, (k) => ({
    freeze: (w, out, inputs, format) => k.freeze(w, out, inputs, format === 'nf4' ? 'int8' : format),
  })),
  fault('linearForward', 'multiplies by int8 codes that are not rounded to the format', /thawed copy/, (k) => ({
    linearForward(y, x, w, T, accumulate) {
      k.linearForward(y, x, w, T, accumulate);
      if (w.format === 'int8') nudge(y, 0);
    },
  })),
  // Packed files.
  fault('packInto', 'leaves one byte as it was', /packed file/, (k) => ({
    packInto(target, w, out, inputs, format) {
      const before = target[1];
      k.packInto(target, w, out, inputs, format);
      target[1] = before;
    },
  })),
  fault('packedBytes', 'is not a multiple of 64', /packed file/, (k) => ({
    packedBytes: (out, inputs, format) => k.packedBytes(out, inputs, format) + 4,
    packInto: (target, w, out, inputs, format) => k.packInto(target.subarray(4), w, out, inputs, format),
  })),
  fault('mapWeights', 'reads every matrix from the same place', /packed file/, (k) => ({
    mapWeights(path) {
      const mapped = k.mapWeights(path);
      return { matrix: (_, out, inputs, format): FrozenMatrix => mapped.matrix(64, out, inputs, format) };
    },
  })),
  fault('layoutName', 'is the same for two formats', /packed file/, () => ({ layoutName: () => 'layout' })),
  // gemm.
  fault('gemm', 'ignores transposeA', ORACLE, (k) => ({
    gemm: (c, a, b, shape) => k.gemm(c, a, b, { ...shape, transposeA: false }),
  })),
  fault('gemm', 'ignores transposeB', ORACLE, (k) => ({
    gemm: (c, a, b, shape) => k.gemm(c, a, b, { ...shape, transposeB: false }),
  })),
  fault('gemm', 'ignores alpha', ORACLE, (k) => ({
    gemm: (c, a, b, shape) => k.gemm(c, a, b, { ...shape, alpha: 1 }),
  })),
  fault('gemm', 'ignores accumulate', ORACLE, (k) => ({
    gemm: (c, a, b, shape) => k.gemm(c, a, b, { ...shape, accumulate: false }),
  })),
  fault('gemm', 'depends on the number of rows', ALONE, (k) => ({
    gemm(c, a, b, shape) {
      k.gemm(c, a, b, shape);
      if (shape.M > 1) nudge(c, 0);
    },
  })),
  // Cross-entropy.
  fault('linearCrossEntropy', 'ignores the weights', ORACLE, (k) => ({
    linearCrossEntropy: (losses, dx, isTop, x, w, targets, weights, N) =>
      k.linearCrossEntropy(losses, dx, isTop, x, w, targets, weights.slice().fill(1), N),
  })),
  fault('linearCrossEntropy', 'weighs the losses too', ORACLE, (k) => ({
    linearCrossEntropy(losses, dx, isTop, x, w, targets, weights, N) {
      k.linearCrossEntropy(losses, dx, isTop, x, w, targets, weights, N);
      for (let n = 0; n < N; n++) losses[n] *= weights[n];
    },
  })),
  fault('linearCrossEntropy', 'misses the target by one', ORACLE, (k) => ({
    linearCrossEntropy: (losses, dx, isTop, x, w, targets, weights, N) =>
      k.linearCrossEntropy(
        losses,
        dx,
        isTop,
        x,
        w,
        targets.map((target) => (target + 1) % w.out),
        weights,
        N,
      ),
  })),
  fault('linearCrossEntropy', 'depends on whether a gradient is asked for', ALONE, (k) => ({
    linearCrossEntropy(losses, dx, isTop, x, w, targets, weights, N) {
      k.linearCrossEntropy(losses, dx, isTop, x, w, targets, weights, N);
      if (!dx) nudge(losses, 0);
    },
  })),
  fault('linearCrossEntropy', 'calls only the first of equal logits the highest', /shares the highest/, (k) => ({
    linearCrossEntropy(losses, dx, isTop, x, w, targets, weights, N) {
      k.linearCrossEntropy(losses, dx, isTop, x, w, targets, weights, N);
      const seen = new Set<number>();
      for (let n = 0; isTop && n < N; n++) {
        if (seen.has(losses[n])) isTop[n] = 0;
        seen.add(losses[n]);
      }
    },
  })),
];
