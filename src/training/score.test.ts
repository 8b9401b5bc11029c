import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bleu, canStillMatch, rougeL, scoreAnswers, wordsOf } from './score.ts';

test('exact match is strict but for surrounding space; accuracy also ignores case', () => {
  const answers = [
    { generated: ' spam\n', expected: 'spam' },
    { generated: 'Spam', expected: 'spam' },
    { generated: 'spam, I think', expected: 'spam' },
  ];
  assert.equal(scoreAnswers('exact-match', answers), 1 / 3);
  assert.equal(scoreAnswers('accuracy', answers), 2 / 3);
});

test('an answer is given up only when its end can no longer make it right', () => {
  const expected = '{"name": "Café"}';
  for (const metric of ['exact-match', 'accuracy'] as const) {
    for (const begun of ['', ' {"na', '{"name": ', '{"name": "Caf\uFFFD', `${expected}\n`]) {
      assert.ok(canStillMatch(metric, begun, expected), `${metric} ${JSON.stringify(begun)}`);
    }
    for (const begun of ['I', '{"name": "Cafe', `${expected} and more`]) {
      assert.ok(!canStillMatch(metric, begun, expected), `${metric} ${JSON.stringify(begun)}`);
    }
  }
  assert.ok(canStillMatch('accuracy', 'SP', 'spam') && !canStillMatch('exact-match', 'SP', 'spam'));
  assert.ok(canStillMatch('rouge-l', 'anything', 'at all') && canStillMatch('bleu', 'anything', 'at all'));
});

test('words are runs of letters or digits, and single marks', () => {
  assert.deepEqual(wordsOf('It’s 3.5 °C — Ünïcode!'), ['it', '’', 's', '3', '.', '5', '°', 'c', '—', 'ünïcode', '!']);
});

test('ROUGE-L by hand: common "the cat on mat" is 4 words of 5 and 6', () => {
  const f1 = (2 * 4) / (5 + 6);
  assert.ok(Math.abs(rougeL('the cat lay on mat', 'the cat sat on the mat') - f1) < 1e-12);
  assert.equal(rougeL('dog', 'cat'), 0);
});

test('BLEU by hand: precisions 5/6, 3/5, 2/4, 1/3 and equal lengths', () => {
  const answers = [{ generated: 'the cat sat on a mat', expected: 'the cat sat on the mat' }];
  const expected = Math.exp((Math.log(5 / 6) + Math.log(3 / 5) + Math.log(2 / 4) + Math.log(1 / 3)) / 4);
  assert.ok(Math.abs(bleu(answers) - expected) < 1e-12);
  const short = [{ generated: 'the cat sat on', expected: 'the cat sat on the mat' }];
  assert.ok(Math.abs(bleu(short) - Math.exp(1 - 6 / 4)) < 1e-12);
  assert.equal(bleu([{ generated: 'no such words here', expected: 'the cat sat on the mat' }]), 0);
});

test('macro-F1 weighs every expected label alike; an answer that is no label is a miss of the expected one alone', () => {
  const answers = [
    ['spam', 'spam'],
    ['ham', 'Ham '],
    ['ham', 'ham'],
    ['spam', 'ham'],
    ['a long talk', 'ham'],
  ].map(([generated, expected]) => ({ generated, expected }));
  // spam: 1 right of 1 expected and 2 answered; ham: 2 right of 4 expected and 2 answered.
  assert.equal(scoreAnswers('macro-f1', answers), (2 / 3 + 4 / 6) / 2);
  assert.equal(canStillMatch('macro-f1', 'wrong', 'ham'), true, 'which wrong label it is counts');
});
