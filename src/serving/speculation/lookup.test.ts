import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lookUp } from './lookup.ts';

function follows(context: readonly number[], most: number, text = context): readonly number[] | undefined {
  return lookUp(context, text, most);
}

test('what came after the last tokens before comes again', () => {
  assert.deepEqual(follows([1, 2, 3, 4, 9, 1, 2], 3), [3, 4, 9]);
  assert.deepEqual(follows([1, 2, 3, 4, 9, 1, 2], 1), [3]);
  assert.equal(follows([1, 2, 3, 4, 9, 2], 3), undefined, 'one token says too little');
  assert.equal(follows([1, 2, 1, 2, 3], 3), undefined);
  assert.equal(follows([], 3), undefined);
  assert.equal(follows([1, 2, 1, 2], 0), undefined);
});

test('the longest match counts, of equals the last', () => {
  assert.deepEqual(follows([7, 1, 2, 3, 8, 1, 2, 4, 7, 1, 2], 1), [3], 'three tokens are more than two');
  assert.deepEqual(follows([8, 1, 2, 3, 8, 5, 1, 2, 4, 6, 1, 2], 1), [4]);
});

test('a text that repeats is continued beyond its end', () => {
  assert.deepEqual(follows([5, 1, 2, 1, 2], 5), [1, 2, 1, 2, 1]);
  assert.deepEqual(follows([3, 3, 3], 4), [3, 3, 3, 3]);
});

test('another text ends where it ends', () => {
  assert.deepEqual(follows([9, 1, 2], 4, [-1, 1, 2, 3, 4]), [3, 4]);
  assert.equal(follows([9, 3, 4], 4, [-1, 1, 2, 3, 4]), undefined, 'nothing follows its end');
});

test('it never tells more than was asked, and only tokens of the text', () => {
  for (let length = 2; length < 40; length++) {
    const context = Array.from({ length }, (_, n) => (n * n) % 7);
    for (const most of [1, 3, 8]) {
      const found = lookUp(context, context, most);
      assert.ok(found === undefined || found.length === most);
      assert.ok(found?.every((id) => context.includes(id)) ?? true);
    }
  }
});
