/** Scores of a classifier: by hand on a small table, and on the engine against what the golden's adapter finds. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { floatsOf, GOLDEN, readGolden, type GoldenSequence } from '../../test/conformance/goldens.ts';
import { compileAdapter, readArtefact } from '../adapters/index.ts';
import { loadBase } from '../model/index.ts';
import { loadNativeKernels } from '../numeric/index.ts';
import { classScores, requireClassMetric, scoreClasses } from './evaluate-classes.ts';

test('precision, recall and F1 of each label; a label that nobody has or is given has zeros', () => {
  const confusion = [
    [3, 1, 0],
    [2, 4, 0],
    [0, 0, 0],
  ];
  const [a, b, c] = classScores(['a', 'b', 'c'], confusion);
  assert.deepEqual(a, { label: 'a', precision: 3 / 5, recall: 3 / 4, f1: 6 / 9, examples: 4 });
  assert.deepEqual(b, { label: 'b', precision: 4 / 5, recall: 4 / 6, f1: 8 / 11, examples: 6 });
  assert.deepEqual(c, { label: 'c', precision: 0, recall: 0, f1: 0, examples: 0 });
});

test('the engine’s labels are counted, and the loss is the cross-entropy of PEFT’s logits', () => {
  const base = loadBase(join(GOLDEN, 'models', 'tiny-llama'), 'tiny-llama', loadNativeKernels(), 'f32');
  const adapter = compileAdapter(readArtefact(join(GOLDEN, 'peft', 'classifier-lora', 'final'), base), base);
  assert.ok(adapter.head?.kind === 'classes');
  const { sequences } = readGolden<{ sequences: readonly GoldenSequence[] }>('peft', 'classifier-lora', 'golden.json');
  const logits = sequences.map((sequence) => [...floatsOf(sequence.logits)]);
  const best = logits.map((row) => row.indexOf(Math.max(...row)));
  // The first is said to be something else.
  const labels = best.map((label, n) => (n === 0 ? (label + 1) % 3 : label));
  const examples = sequences.map(({ tokenIds }, n) => ({
    tokenIds: Int32Array.from(tokenIds),
    lossWeights: new Float32Array(tokenIds.length),
    label: labels[n],
  }));
  const scored = (metric: 'accuracy' | 'macro-f1' | 'loss') =>
    scoreClasses(metric, base, adapter, adapter.head as Extract<typeof adapter.head, { kind: 'classes' }>, examples);
  const { value, confusion, classes } = scored('accuracy');
  assert.equal(value, (sequences.length - 1) / sequences.length);
  assert.equal(confusion[labels[0]][best[0]], 1);
  const expected = logits.map((row, n) => Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[labels[n]]);
  const mean = expected.reduce((a, b) => a + b) / expected.length;
  assert.ok(Math.abs(scored('loss').value - mean) < 1e-4 * mean);
  const present = classes.filter(({ examples: count }) => count > 0);
  assert.equal(scored('macro-f1').value, present.reduce((sum, { f1 }) => sum + f1, 0) / present.length);
});

test('a metric of texts is refused', () => {
  assert.throws(() => requireClassMetric('bleu'), { code: 'USAGE_INVALID', message: /accuracy, macro-f1, loss/ });
  requireClassMetric('loss');
});
