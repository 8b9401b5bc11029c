/** Held-out parts and repeated examples, on tokens of a tokenizer that is one letter a token. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyBase } from '../../test/support/tiny-base.ts';
import { openChatRenderer } from '../text/index.ts';
import { loadExamples } from './example.ts';
import { describeOverlaps, findOverlaps } from './overlap.ts';
import { holdOut, loadRunData } from './run-data.ts';

const folder = mkdtempSync(join(tmpdir(), 'espalier-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
writeTinyBase(join(folder, 'tiny'));
const renderer = openChatRenderer(join(folder, 'tiny'));

function load(name: string, pairs: readonly (readonly [prompt: string, completion: string])[]) {
  const path = join(folder, name);
  writeFileSync(path, pairs.map(([prompt, completion]) => `${JSON.stringify({ prompt, completion })}\n`).join(''));
  return { path, loaded: loadExamples(path, renderer, 512, 'sft') };
}

const letters = 'abcdefghijklmnopqrstuvwxyz'.split('');
const many = letters.flatMap((a) => ['x', 'y'].map((b) => [`${a} ${b}`, b] as const));

test('duplicates and leaks are counted, exactly and by the words of the prompt', () => {
  const { loaded: train } = load('train.jsonl', [
    ['Is it ripe?', 'yes'],
    ['is it  RIPE', 'no'],
    ['Is it ripe?', 'yes'],
    ['Where?', 'there'],
  ]);
  const { loaded: valid } = load('valid.jsonl', [
    ['Where?', 'there'],
    ['where', 'elsewhere'],
    ['Who?', 'I'],
  ]);
  const overlaps = findOverlaps(train, valid, renderer.tokenizer);
  assert.deepEqual(overlaps, {
    exactDuplicates: { count: 1, lines: [[1, 3]] },
    samePrompts: {
      count: 2,
      lines: [
        [1, 2],
        [1, 3],
      ],
    },
    exactLeaks: { count: 1, lines: [[4, 1]] },
    promptLeaks: {
      count: 2,
      lines: [
        [4, 1],
        [4, 2],
      ],
    },
  });
  const said = describeOverlaps(overlaps);
  assert.equal(said.length, 4);
  assert.match(said[0], /^1 training examples repeat.*line 3 is line 1/);
  assert.match(said[3], /held-out line 2 asks what training line 4 asks/);
  const clean = findOverlaps(load('clean.jsonl', many).loaded, undefined, renderer.tokenizer);
  assert.deepEqual(describeOverlaps(clean), []);
});

test('the held-out part is a share by content: the order of the lines does not matter, equal prompts stay together', () => {
  const pairs = [
    ...many,
    ...many.slice(0, 20).map(([prompt, answer]) => [`${prompt}!`, `${answer} ${answer}`] as const),
  ];
  const texts = (loaded: ReturnType<typeof load>['loaded']): string[] =>
    loaded.examples.map(({ tokenIds }) => renderer.tokenizer.decode(tokenIds, { skipSpecial: true })).sort();
  const { train, valid } = holdOut(load('pairs.jsonl', pairs).loaded, 0.2, renderer);
  assert.ok(valid);
  assert.equal(train.examples.length + valid.examples.length, pairs.length);
  assert.ok(Math.abs(valid.examples.length - 0.2 * pairs.length) <= 1, String(valid.examples.length));
  const overlaps = findOverlaps(train, valid, renderer.tokenizer);
  assert.deepEqual([overlaps.exactLeaks.count, overlaps.promptLeaks.count], [0, 0]);
  assert.equal(
    train.numTokens,
    train.examples.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0),
  );
  const turned = holdOut(load('turned.jsonl', pairs.toReversed()).loaded, 0.2, renderer);
  assert.ok(turned.valid);
  assert.deepEqual(texts(turned.valid), texts(valid));
});

test('few examples, a share of 0 or a file of their own: nothing is held out of the training data', () => {
  const { path, loaded } = load('few.jsonl', many.slice(0, 19));
  assert.equal(holdOut(loaded, 0.5, renderer).valid, undefined);
  assert.equal(holdOut(load('enough.jsonl', many.slice(0, 20)).loaded, 0.05, renderer).valid?.examples.length, 1);
  assert.equal(holdOut(load('none.jsonl', many).loaded, 0, renderer).valid, undefined);
  const sources = { dataPath: path, validPath: path, validShare: 0.5, objective: 'sft' } as const;
  const { train, valid, warnings } = loadRunData(sources, renderer, 512);
  assert.deepEqual([train.examples.length, valid?.examples.length], [19, 19]);
  assert.match(warnings[0]?.message ?? '', /^19 held-out examples are in the training data/);
});

test('a conversation and its continuation are on one side, and elsewhere a turn that is learned is a leak', () => {
  const turns = (...texts: string[]) =>
    texts.map((content, n) => ({ role: n % 2 === 0 ? 'user' : 'assistant', content }));
  const write = (name: string, chats: readonly (readonly object[])[]) => {
    const path = join(folder, name);
    writeFileSync(path, chats.map((messages) => `${JSON.stringify({ messages })}\n`).join(''));
    return loadExamples(path, renderer, 512, 'sft');
  };
  const short = letters.map((a) => turns(`${a} one`, `${a} two`));
  const long = letters.map((a) => turns(`${a} one`, `${a} two`, 'and then', `${a} three`));
  const { train, valid } = holdOut(write('both.jsonl', [...short, ...long]), 0.2, renderer);
  assert.ok(valid && valid.examples.length >= 8);
  assert.equal(findOverlaps(train, valid, renderer.tokenizer).promptLeaks.count, 0);

  const apart = findOverlaps(write('short.jsonl', short), write('long.jsonl', long.slice(0, 3)), renderer.tokenizer);
  assert.equal(apart.promptLeaks.count, 3, 'their first turns were learned');
  assert.equal(apart.exactLeaks.count, 0);
  const alike = letters.map((a) => turns('hello', 'hi', `${a} one`, `${a} two`));
  const divided = holdOut(write('alike.jsonl', alike), 0.2, renderer);
  assert.equal(divided.valid?.examples.length, 5, 'where all begin alike the last turn decides');
});
