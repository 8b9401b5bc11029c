import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../base/index.ts';
import { letterTokenizer } from '../../test/support/letter-tokenizer.ts';
import { StreamDetokenizer } from './detokenize.ts';
import { StopMatcher } from './stop-matcher.ts';

const tokenizer = letterTokenizer();

test('the pieces of a stream are the text of all its tokens, for any ids and any cutting', () => {
  const rng = Rng.fromSeed(3);
  for (let i = 0; i < 500; i++) {
    const text = String.fromCodePoint(
      ...Array.from({ length: rng.nextBelow(8) }, () => [0x41, 0xe9, 0x65e5, 0x1f600, 0xfeff][rng.nextBelow(5)]),
    );
    const random = Array.from({ length: rng.nextBelow(12) }, () => rng.nextBelow(tokenizer.vocabSize + 2));
    const ids = i % 2 === 0 ? [...tokenizer.encode(text, { allowSpecial: false })] : random;
    for (const skipSpecial of [true, false]) {
      const stream = new StreamDetokenizer(tokenizer, { skipSpecial });
      const pieces: string[] = [];
      for (let at = 0; at < ids.length;) {
        const next = at + 1 + rng.nextBelow(3);
        pieces.push(stream.push(ids.slice(at, next)));
        at = next;
      }
      if (i % 2 === 0) assert.ok(!pieces.join('').includes('\ufffd'), 'no piece ends inside a character');
      assert.equal(pieces.join('') + stream.flush(), tokenizer.decode(ids, { skipSpecial }));
    }
  }
});

test('a character comes with its last byte, and half of one only at the end', () => {
  const stream = new StreamDetokenizer(tokenizer, { skipSpecial: true });
  assert.deepEqual(
    [0xf0, 0x9f, 0x98].map((byte) => stream.push([byte])),
    ['', '', ''],
  );
  assert.equal(stream.push([0x80]), '\u{1f600}');
  assert.equal(stream.push([0xe6]), '');
  assert.equal(stream.flush(), '\ufffd');
});

/** What a stop is: read character by character, the first stop string that is complete ends the text where it began. */
function cutByDefinition(text: string, stops: readonly string[]): { text: string; isStopped: boolean } {
  for (let end = 1; end <= text.length; end++) {
    const complete = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    if (complete.length > 0)
      return { text: text.slice(0, end - Math.max(...complete.map((stop) => stop.length))), isStopped: true };
  }
  return { text, isStopped: false };
}

test('stop strings cut exactly where they begin, however the text is cut into pieces', () => {
  const rng = Rng.fromSeed(5);
  const word = (length: number): string => Array.from({ length }, () => 'ab'.charAt(rng.nextBelow(2))).join('');
  let numStopped = 0;
  for (let i = 0; i < 2000; i++) {
    const stops = Array.from({ length: rng.nextBelow(4) }, () => word(1 + rng.nextBelow(6)));
    const text = word(rng.nextBelow(16));
    const matcher = new StopMatcher(stops);
    let out = '';
    let isStopped = false;
    for (let at = 0; at < text.length;) {
      const next = at + 1 + rng.nextBelow(4);
      const result = matcher.push(text.slice(at, next));
      out += result.text;
      isStopped = result.isStopped;
      at = next;
    }
    if (!isStopped) out += matcher.flush();
    numStopped += Number(isStopped);
    assert.deepEqual({ text: out, isStopped }, cutByDefinition(text, stops), JSON.stringify({ text, stops }));
  }
  assert.ok(numStopped > 300 && numStopped < 1900, `${numStopped} of 2000 stopped`);
});

test('only what may become a stop string is held back', () => {
  const matcher = new StopMatcher(['END']);
  assert.deepEqual(matcher.push('the E'), { text: 'the ', numHeld: 1, isStopped: false });
  assert.deepEqual(matcher.push('xEN'), { text: 'Ex', numHeld: 2, isStopped: false });
  assert.deepEqual(matcher.push('D and more'), { text: '', numHeld: 12, isStopped: true });
  assert.deepEqual(matcher.push('more'), { text: '', numHeld: 4, isStopped: true });
  assert.equal(matcher.flush(), '');
});

test('an empty stop string is refused', () => {
  assert.throws(() => new StopMatcher(['']), { code: 'REQUEST_INVALID', param: 'stop' });
});
