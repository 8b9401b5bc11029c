import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddedTokenSplitter } from './special-tokens.ts';

const plain = { special: true, lstrip: false, rstrip: false, singleWord: false };
const splitter = new AddedTokenSplitter([
  { ...plain, content: '<a>', id: 1 },
  { ...plain, content: '<a>b', id: 2 },
  { ...plain, content: '[L]', id: 3, lstrip: true },
  { ...plain, content: '[R]', id: 4, rstrip: true },
  { ...plain, content: 'word', id: 5, singleWord: true },
  { ...plain, content: 'x-$y', id: 6 },
]);
const split = (text: string): (string | number)[] =>
  splitter.split(text).map((piece) => ('id' in piece ? piece.id : piece.text));

test('of two tokens at one place the longer is found, and the pieces in between are kept', () => {
  assert.deepEqual(split('<a>b<a>c <a'), [2, 1, 'c <a']);
  assert.deepEqual(split(''), []);
  assert.deepEqual(split('none'), ['none']);
});

test('a token takes the white space that it is said to take, once', () => {
  assert.deepEqual(split('a \n[L] b'), ['a', 3, ' b']);
  assert.deepEqual(split('a [R] \tb'), ['a ', 4, 'b']);
  assert.deepEqual(split('[R]  [L]'), [4, 3]);
});

test('a single word stands alone', () => {
  assert.deepEqual(split('word words sword 1word word.'), [5, ' words sword 1word ', 5, '.']);
});

test('names are no patterns', () => {
  assert.deepEqual(split('x-$y x-y'), [6, ' x-y']);
  assert.equal(
    splitter.replaceIn('x-$y <a>', (name) => `(${name.length})`),
    '(4) (3)',
  );
  assert.deepEqual(
    [splitter.isIn('a x-$y'), splitter.isIn('x-'), new AddedTokenSplitter([]).isIn('x')],
    [true, false, false],
  );
});
