/** Labelled examples: both forms, what is wrong with a line, labels collected and given. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyBase } from '../../test/support/tiny-base.ts';
import { EspalierError } from '../base/index.ts';
import { openChatRenderer } from '../text/index.ts';
import { classesOfFile, loadExamples } from './example.ts';
import { packExamples } from './pack.ts';
import { loadRunData } from './run-data.ts';

const folder = mkdtempSync(join(tmpdir(), 'espalier-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
writeTinyBase(join(folder, 'tiny'));
const renderer = openChatRenderer(join(folder, 'tiny'));

function fileOf(...rows: readonly object[]): string {
  const path = join(folder, 'data.jsonl');
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}

const load = (labels: readonly string[] | undefined, ...rows: readonly object[]) =>
  loadExamples(fileOf(...rows), renderer, 512, 'classification', labels);

/** The places and texts of everything that is wrong. */
function problemsOf(action: () => unknown): string[] {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof EspalierError && error.code === 'DATA_INVALID', String(error));
    return (error.problems ?? []).map(({ where, message }) => `${where} ${message}`);
  }
  return assert.fail('nothing was found wrong');
}

const chat = (content: string) => [{ role: 'user', content }] as const;

test('labels are the file’s, sorted; each is predicted at its text’s last token', () => {
  const rows = [
    { text: 'a plum', label: 'stone' },
    { text: 'pear', label: 'pome' },
    { text: 'quince', label: 'pome' },
  ];
  const { examples, labels, numTargets } = load(undefined, ...rows);
  assert.deepEqual([labels, numTargets], [['pome', 'stone'], 3]);
  assert.deepEqual(classesOfFile(fileOf(...rows)), { labels, reads: 'text' });
  const chat = { messages: [{ role: 'user', content: 'pear' }], label: 'pome' };
  const given = ['stone', 'pome', 'nut'];
  assert.deepEqual(classesOfFile(fileOf(chat, chat), given), { labels: given, reads: 'messages' });
  assert.deepEqual(
    examples.map(({ label }) => label),
    [1, 0, 0],
  );
  const batch = packExamples(examples);
  const ends = examples.map((_, n) => examples.slice(0, n + 1).reduce((sum, one) => sum + one.tokenIds.length, 0));
  assert.deepEqual(
    [...batch.lossRows_N].map((row) => row + 1),
    ends,
  );
  assert.deepEqual([[...batch.targets_N], batch.weightSum], [[1, 0, 0], 3]);
  assert.deepEqual(examples[0].tokenIds, renderer.renderText('a plum'));
});

test('messages go through the chat template, without the opening of an answer', () => {
  const { examples } = load(['a', 'b'], { messages: chat('plum'), label: 'b' });
  assert.deepEqual(examples[0].tokenIds, renderer.renderPrompt(chat('plum'), { addGenerationPrompt: false }));
  assert.notDeepEqual(examples[0].tokenIds, renderer.renderPrompt(chat('plum')));
});

test('each line says what is wrong with it, and which form is meant', () => {
  const problems = problemsOf(() =>
    load(
      undefined,
      { text: 'x', label: 'a' },
      { text: 'x', messages: chat('x'), label: 'a' },
      { label: 'a' },
      { text: 'x' },
      { text: '', label: 'a' },
      { text: 'x', label: 3 },
      { text: 'x', label: ' ' },
      { text: 'x', label: 'a', weight: 1 },
      { messages: chat('x') },
      { prompt: 'x', completion: 'y', label: true },
    ),
  );
  for (const [line, expected] of [
    [2, /both text and messages.*text, which is read as it is, or messages, which go through the chat template/],
    [3, /neither text nor messages/],
    [4, /label is missing/],
    [5, /text is empty/],
    [6, /label must be the name of a label, a text, got 3/],
    [7, /label is " "/],
    [8, /weight is an unknown key, expected text\|messages\|label/],
    [9, /is a chat example \(messages\), but line 1 is a labelled example/],
    [10, /is a rated example/],
  ] as const) {
    const found = problems.filter((problem) => problem.startsWith(`data.jsonl:${line} `));
    assert.equal(found.length, 1, `line ${line}: ${problems.join('\n')}`);
    assert.match(found[0], expected);
  }
  assert.match(
    problemsOf(() => load(undefined, { text: 'x', label: 'a' }, { messages: chat('y'), label: 'b' }))[0],
    /:2 has messages, but line 1 has text: one of them in a file/,
  );
});

test('a label that is none of the known ones is an error by line, one that nothing has a warning', () => {
  assert.match(
    problemsOf(() => load(['a', 'b'], { text: 'x', label: 'c' }))[0],
    /:1 line 1: label "c" is none of "a", "b"/,
  );
  assert.throws(() => load(undefined, { text: 'x', label: 'a' }), /the labels are 1, expected at least two/);
  const dataPath = fileOf({ text: 'x', label: 'a' }, { text: 'y', label: 'b' }, { text: 'x', label: 'b' });
  const validPath = join(folder, 'valid.jsonl');
  const sources = { dataPath, validPath, validShare: 0, objective: 'classification', labels: ['a', 'b', 'c'] } as const;
  writeFileSync(validPath, '{"text":"z","label":"d"}\n');
  assert.match(problemsOf(() => loadRunData(sources, renderer, 512))[0], /valid.jsonl:1 .*"d" is none of/);
  writeFileSync(validPath, '{"text":"x","label":"a"}\n');
  const { warnings } = loadRunData(sources, renderer, 512);
  const said = warnings.map(({ message }) => message).join('\n');
  assert.match(said, /no training example has the label "c"/);
  assert.match(said, /1 training examples have the prompt of an earlier one/, 'one text with two labels');
  assert.match(said, /1 held-out examples are in the training data/);
});

test('other objectives name this one, and this one names theirs', () => {
  assert.throws(
    () => loadExamples(fileOf({ text: 'x', label: 'a' }), renderer, 512, 'sft'),
    /holds labelled texts, and --objective sft learns from chats or prompts with completions: use --objective classification/,
  );
  assert.throws(() => classesOfFile(fileOf({ prompt: 'x', completion: 'y' })), /learns from labelled texts/);
});
