import assert from 'node:assert/strict';
import { test } from 'node:test';
import { centralDifferences } from '../../../test/support/central-differences.ts';
import { Rng } from '../../base/index.ts';
import { assertClose, compareToReference } from '../compare.ts';
import { Inference } from '../graph.ts';
import { BufferPool } from '../pool.ts';
import { referenceKernels } from '../reference/index.ts';
import { Tape } from '../tape.ts';
import { sequenceLogProbs } from './sequence-log-probs.ts';

const [N, D, V] = [6, 5, 11];
const kernels = referenceKernels();

function setting() {
  const rng = Rng.fromSeed(9);
  const normal = (length: number): Float64Array => Float64Array.from({ length }, () => rng.nextNormal());
  const head = kernels.freeze(normal(V * D), V, D, 'f32');
  const tokenIds_N = Int32Array.from({ length: N }, () => rng.nextBelow(V));
  // The second sequence has no row.
  return { x: normal(N * D), head, targets: { tokenIds_N, weights_N: Float64Array.of(1, 1, 0.5, 1, 1, 2) } };
}
const ends = Int32Array.of(2, 2, 6);

test('sums of log probabilities are those of the softmax, sequence by sequence', () => {
  const { x, head, targets } = setting();
  const w = kernels.thaw(head);
  const expected = [0, 0, 0];
  for (let n = 0; n < N; n++) {
    const logits = Array.from({ length: V }, (_, v) => {
      let sum = 0;
      for (let d = 0; d < D; d++) sum += x[n * D + d] * w[v * D + d];
      return sum;
    });
    const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    expected[n < 2 ? 0 : 2] += targets.weights_N[n] * (logits[targets.tokenIds_N[n]] - total);
  }
  const g = new Inference(kernels, new BufferPool('f64'));
  const { values_S } = sequenceLogProbs(g, { shape: [N, D], data: x }, head, targets, ends);
  assert.equal(values_S[1], 0);
  assertClose([values_S[0], values_S[2]], [expected[0], expected[2]], 1e-12, 'log probabilities');
});

test('the way back is central differences, whatever arrives for each sequence', () => {
  const { x, head, targets } = setting();
  const arriving = [0.7, 3, -1.9];
  const parameter = {
    name: 'x',
    value: { shape: [N, D], data: x },
    gradient: { shape: [N, D], data: new Float64Array(N * D) },
  };
  const tape = new Tape(kernels, new BufferPool('f64'), [parameter]);
  const { logProbs } = sequenceLogProbs(tape, parameter.value, head, targets, ends);
  const sum = tape.empty([1]);
  tape.record(sum, [logProbs], [], (dSum) => {
    const { tensor } = tape.gradient(logProbs);
    for (const [s, value] of arriving.entries()) tensor.data[s] = value * dSum.data[0];
  });
  tape.backward(sum);
  const g = new Inference(kernels, new BufferPool('f64'));
  const numeric = centralDifferences(() => {
    const { values_S } = sequenceLogProbs(g, parameter.value, head, targets, ends);
    const value = arriving.reduce((total, weight, s) => total + weight * values_S[s], 0);
    g.endStep();
    return value;
  }, x);
  assertClose(parameter.gradient.data, numeric, 1e-7, 'gradient of x');
  const wrong = Float64Array.from(parameter.gradient.data, (value, i) => (i < 2 * D ? value : -value));
  assert.equal(compareToReference(wrong, numeric, 1e-7).passes, false);
});
