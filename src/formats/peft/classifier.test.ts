import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classesMetadata, classesOf } from './classifier.ts';

const SCORE = 'base_model.model.score.weight';
const TENSORS = new Map([[SCORE, { shape: [2, 8] }]]);

test('what is said of labels is read as it was written', () => {
  for (const classes of [{ labels: ['ham', 'spam'] }, { labels: ['b', 'a'], reads: 'messages' as const }]) {
    assert.deepEqual(classesOf(classesMetadata(classes), SCORE, TENSORS), { reads: undefined, ...classes });
  }
  const named = classesOf({ format: 'pt' }, SCORE, TENSORS);
  assert.deepEqual(named, { labels: ['LABEL_0', 'LABEL_1'], reads: undefined }, 'PEFT’s own files name none');
});

test('what cannot be is refused by its key', () => {
  for (const [metadata, message] of [
    [{ reads: 'audio' }, /^__metadata__\.reads: is "audio", expected text or messages$/],
    [{ id2label: '{' }, /^__metadata__\.id2label: /],
    [{ id2label: '["ham","spam"]' }, /expected an object of labels by their number/],
    [{ id2label: '{"0":"ham","2":"spam"}' }, /expected a text for each number from 0 on/],
    [{ id2label: '{"0":"ham","1":7}' }, /expected a text for each number from 0 on/],
    [{ id2label: '{"0":"ham","1":"ham"}' }, /the labels have "ham" twice/],
    [{ id2label: '{"0":"ham"}' }, /the labels are 1, expected at least two/],
    [
      { id2label: '{"0":"ham","1":"spam","2":"both"}' },
      /has 3 labels, but base_model\.model\.score\.weight has 2 rows/,
    ],
  ] as const) {
    const found = classesOf(metadata, SCORE, TENSORS);
    assert.match('problem' in found ? found.problem.message : 'sound', message);
  }
});
