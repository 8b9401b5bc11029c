import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyBase } from '../../test/support/tiny-base.ts';
import { openChatRenderer } from '../text/index.ts';
import { renderRated } from './preference-example.ts';

const folder = mkdtempSync(join(tmpdir(), 'espalier-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
writeTinyBase(folder);
const renderer = openChatRenderer(folder);

/** `question: answer` of both sequences of each example. */
function read(examples: Parameters<typeof renderRated>[0]): string[] {
  return renderRated(examples, renderer).examples.map(({ tokenIds, ends = [], isDesirable }) => {
    const texts = ends.map((end, n) =>
      renderer.tokenizer.decode([...tokenIds.subarray(ends[n - 1] ?? 0, end)], { skipSpecial: false }),
    );
    const said = texts.map((text) => /user\n(\w+).*assistant\n(\w+)/s.exec(text)?.slice(1, 3).join(': '));
    return `${isDesirable ? '+' : '-'} ${said.join(' | ')}`;
  });
}

const rated = (prompt: string, completion: string, isDesirable = true) => ({
  line: 1,
  prompt,
  completion,
  isDesirable,
});

test('an answer is held against one that belongs to another prompt', () => {
  assert.deepEqual(read([rated('one', 'a'), rated('two', 'b', false), rated('three', 'c')]), [
    '+ one: a | one: c',
    '- two: b | two: a',
    '+ three: c | three: b',
  ]);
  const several = [
    rated('one', 'a'),
    rated('one', 'b', false),
    rated('two', 'c'),
    rated('two', 'd'),
    rated('one', 'e'),
  ];
  assert.deepEqual(
    read(several).map((text) => text.split(' | ')[1]),
    ['one: d', 'one: d', 'two: b', 'two: b', 'one: d'],
  );
  assert.deepEqual(
    read([rated('one', 'a'), rated('one', 'b')]),
    ['+ one: a | one: b', '+ one: b | one: b'],
    'there is none',
  );
});

test('a file of one prompt, which has no answers to others, is warned of', () => {
  const warningsOf = (...prompts: string[]): string[] =>
    renderRated(
      prompts.map((prompt) => rated(prompt, 'a')),
      renderer,
    ).warnings;
  assert.deepEqual(warningsOf('one', 'two'), []);
  const [warning, ...more] = warningsOf('one', 'one');
  assert.deepEqual(more, []);
  assert.match(warning, /all answers are to one prompt/);
});

test('answers of a pair are held against those of another pair, good to good and bad to bad', () => {
  const pair = (prompt: string, chosen: string, rejected: string) => ({ line: 1, prompt, chosen, rejected });
  assert.deepEqual(read([pair('one', 'a', 'b'), pair('two', 'c', 'd'), pair('two', 'e', 'f')]), [
    '+ one: a | one: e',
    '- one: b | one: f',
    '+ two: c | two: a',
    '- two: d | two: b',
    '+ two: e | two: a',
    '- two: f | two: b',
  ]);
});
