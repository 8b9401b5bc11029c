import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadCrawlerTask, loadSpamTask } from './index.ts';
import type { ChatExample, DemoTask } from './index.ts';
import { shingles, wordsOf } from './split.ts';

const tasks = await Promise.all([loadSpamTask(), loadCrawlerTask()]);
const [spam, crawlers] = tasks;

const partsOf = (task: DemoTask): readonly (readonly ChatExample[])[] => [task.train, task.valid, task.test];
const userText = (example: ChatExample): string => example.messages[1]?.content ?? '';
const answer = (example: ChatExample): string => example.messages.at(-1)?.content ?? '';

/** Pairs of parts that share a key. */
function leaks(
  parts: readonly (readonly ChatExample[])[],
  keysOf: (example: ChatExample) => readonly string[],
): string[] {
  const seenIn = new Map<string, number>();
  const found: string[] = [];
  parts.forEach((part, index) => {
    for (const key of part.flatMap(keysOf)) {
      const first = seenIn.get(key) ?? index;
      if (first !== index) found.push(key);
      seenIn.set(key, first);
    }
  });
  return found;
}

for (const task of tasks) {
  test(`${task.task}: sizes, roles and the same data at every load`, async () => {
    assert.ok(task.test.length >= 150, `${task.test.length} held out`);
    assert.ok(task.train.length >= 200);
    for (const example of partsOf(task).flat()) {
      assert.deepEqual(
        example.messages.map(({ role }) => role),
        ['system', 'user', 'assistant'],
      );
      assert.ok(userText(example).trim().length > 0 && answer(example).length > 0);
    }
    const again = task === spam ? await loadSpamTask() : await loadCrawlerTask();
    assert.deepEqual(again, task);
  });

  test(`${task.task}: no text of one part is in another, whatever its case, digits and punctuation`, () => {
    const keys = (example: ChatExample): string[] => [wordsOf(userText(example)).join(' ')];
    assert.deepEqual(leaks(partsOf(task), keys), []);
    const leaky = [[...task.train, task.test[0]], task.valid, task.test];
    assert.equal(leaks(leaky, keys).length, 1, 'the check sees a leak');
  });

  test(`${task.task}: short enough to train in a minute, and the question is one of the test part`, () => {
    const lengths = task.train.map((example) => JSON.stringify(example.messages.map((m) => m.content)).length);
    assert.ok(lengths.sort((a, b) => a - b)[lengths.length >> 1] < 300, 'median characters');
    assert.ok(task.test.some((example) => userText(example) === task.question.at(-1)?.content));
    assert.equal(task.question.at(-1)?.role, 'user');
  });
}

test('spam: both classes are equally frequent in every part', () => {
  for (const part of partsOf(spam)) {
    const numSpam = part.filter((example) => answer(example) === 'spam').length;
    assert.equal(numSpam * 2, part.length);
    assert.ok(part.every((example) => ['spam', 'ham'].includes(answer(example))));
  }
});

test('spam: no run of six words of a test mail’s subject and text is in a training mail', () => {
  const content = (example: ChatExample): string => userText(example).replace(/^From: .*\nType: .*\n/, '');
  assert.deepEqual(
    leaks(partsOf(spam), (example) => shingles(content(example), 6)),
    [],
  );
});

test('crawlers: no crawler and no company of one part is in another', () => {
  const names = (example: ChatExample): string[] => [wordsOf(JSON.parse(answer(example)).bot).join('')];
  const hosts = (example: ChatExample): string[] => {
    const contact: string | null = JSON.parse(answer(example)).contact;
    return contact === null ? [] : [contact.toLowerCase()];
  };
  assert.deepEqual(leaks(partsOf(crawlers), names), []);
  assert.deepEqual(leaks(partsOf(crawlers), hosts), []);
});

test('crawlers: every value of an answer is written in its user agent', () => {
  for (const example of partsOf(crawlers).flat()) {
    for (const value of Object.values<string | null>(JSON.parse(answer(example)))) {
      assert.ok(value === null || userText(example).includes(value), `${value} in ${userText(example)}`);
    }
  }
});
