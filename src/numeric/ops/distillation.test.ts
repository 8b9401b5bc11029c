import assert from 'node:assert/strict';
import { test } from 'node:test';
import { centralDifferences } from '../../../test/support/central-differences.ts';
import { Rng } from '../../base/index.ts';
import { assertClose, compareToReference } from '../compare.ts';
import { Inference } from '../graph.ts';
import type { Floats } from '../kernels.ts';
import { BufferPool } from '../pool.ts';
import { referenceKernels } from '../reference/index.ts';
import { Tape } from '../tape.ts';
import { distillationLoss, type Distillation } from './distillation.ts';
import { frozenLinear } from './linear.ts';
import type { LogitsHead } from './logits-loss.ts';
import { linearCrossEntropy } from './loss.ts';

// More rows than a chunk.
const [N, D, V] = [37, 5, 11];
const kernels = referenceKernels();

function setting(share: number, temperature: number) {
  const rng = Rng.fromSeed(9);
  const normal = (length: number): Float64Array => Float64Array.from({ length }, () => 2 * rng.nextNormal());
  const head = kernels.freeze(normal(V * D), V, D, 'f32');
  const tokenIds_N = Int32Array.from({ length: N }, () => rng.nextBelow(V));
  const targets = { tokenIds_N, weights_N: Float64Array.from({ length: N }, () => rng.nextFloat()) };
  const x = normal(N * D);
  const taught = normal(N * V);
  const teacherLogits = (begin: number, end: number, logits: Floats): void =>
    logits.set(taught.subarray(begin * V, end * V));
  return { x, taught, head, targets, distillation: { teacherLogits, share, temperature } };
}

const lossOf = (x: Float64Array, { head, targets, distillation }: ReturnType<typeof setting>): number => {
  const g = new Inference(kernels, new BufferPool('f64'));
  return distillationLoss(g, { shape: [N, D], data: x }, head, targets, distillation).lossSum.data[0];
};

test('the loss is the definition, row by row', () => {
  const one = setting(0.3, 2.5);
  const { x, taught, head, targets, distillation } = one;
  const w = kernels.thaw(head);
  const softmax = (logits: readonly number[], t: number): number[] => {
    const powers = logits.map((logit) => Math.exp(logit / t));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / sum);
  };
  let expected = 0;
  for (let n = 0; n < N; n++) {
    const logits = Array.from({ length: V }, (_, v) => {
      let sum = 0;
      for (let d = 0; d < D; d++) sum += x[n * D + d] * w[v * D + d];
      return sum;
    });
    const { temperature, share } = distillation;
    const [p, q] = [softmax([...taught.subarray(n * V, (n + 1) * V)], temperature), softmax(logits, temperature)];
    const divergence = p.reduce((sum, value, v) => sum + value * Math.log(value / q[v]), 0);
    const ce = -Math.log(softmax(logits, 1)[targets.tokenIds_N[n]]);
    expected += targets.weights_N[n] * ((1 - share) * ce + share * temperature ** 2 * divergence);
  }
  assertClose([lossOf(x, one)], [expected], 1e-12, 'loss');
});

for (const [share, temperature] of [
  [1, 1],
  [0.4, 3],
  [0.5, 0.7],
] as const) {
  test(`the way back is central differences: share ${share}, temperature ${temperature}`, () => {
    const one = setting(share, temperature);
    const expected = centralDifferences(() => lossOf(one.x, one), one.x);
    const gradients = [one.head, { logits: (g, x) => frozenLinear(g, x, one.head) } satisfies LogitsHead].map(
      (head) => {
        const value = { shape: [N, D], data: one.x };
        const gradient = { shape: [N, D], data: new Float64Array(N * D) };
        const tape = new Tape(kernels, new BufferPool('f64'), [{ name: 'x', value, gradient }]);
        const { lossSum } = distillationLoss(tape, value, head, one.targets, one.distillation);
        tape.backward(lossSum);
        assertClose(gradient.data, expected, 'centralDifference', 'dx');
        return gradient.data;
      },
    );
    const wrong = gradients[0].map((value, i) => (i === 3 ? value * 1.01 : value));
    assert.ok(!compareToReference(wrong, expected, 'centralDifference').passes, 'a wrong gradient is found');
  });
}

test('laws: without the teacher it is the cross-entropy; of a teacher that agrees nothing is left', () => {
  const plain = setting(0, 2);
  const g = new Inference(kernels, new BufferPool('f64'));
  const x = { shape: [N, D], data: plain.x };
  const { lossSum } = linearCrossEntropy(g, x, plain.head, plain.targets);
  assertClose([lossOf(plain.x, plain)], [lossSum.data[0]], 1e-12, 'cross-entropy');
  const own = frozenLinear(g, x, plain.head).data.slice();
  const agreeing: Distillation = {
    share: 1,
    temperature: 3,
    teacherLogits: (begin, end, logits) => logits.set(own.subarray(begin * V, end * V)),
  };
  const { divergenceSum } = distillationLoss(g, x, plain.head, plain.targets, agreeing);
  assert.ok(Math.abs(divergenceSum) < 1e-12);
});
