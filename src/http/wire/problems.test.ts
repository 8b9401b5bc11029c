import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from '@hono/zod-openapi';
import { completionRequest, textInputs } from './text-request.ts';
import { chatCompletionRequest } from './chat-request.ts';
import { nameField } from './name.ts';
import { describeIssues } from './problems.ts';

/** Every message, and where the first problem is. */
function told(schema: z.ZodType, body: unknown): [where: string, message: string] {
  const { success, error } = schema.safeParse(body);
  assert.ok(!success, 'the body is refused');
  const { message, param } = describeIssues(error.issues, body);
  return [param, message];
}

const inputs = z.object({ input: textInputs });
for (const [what, input, where, message] of [
  ['too many texts', Array(2049).fill('a'), 'input', 'input must be at most 2048 long, got 2049'],
  ['none', [], 'input', 'input must be at least 1 long, got 0'],
  ['a number', 4, 'input', 'input must be a string or an array, got 4'],
  ['nothing', undefined, 'input', 'input is missing: it must be a string or an array'],
  ['a text among ids', [1, 'a'], 'input[1]', 'input[1] must be a number, got "a"'],
  ['a text among lists', [[1], 'a'], 'input[1]', 'input[1] must be an array, got "a"'],
  ['an id among texts', ['a', 'b', 3], 'input[2]', 'input[2] must be a string, got 3'],
  ['a text in a list of ids', [[1], [2, 'a']], 'input[1][1]', 'input[1][1] must be a number, got "a"'],
  ['a negative id', [3, -1], 'input[1]', 'input[1] must be at least 0, got -1'],
  ['an object', [{}], 'input[0]', 'input[0] must be a string or a number or an array, got {}'],
] as const) {
  test(`of several forms, the one that was meant: ${what}`, () => {
    assert.deepEqual(told(inputs, { input }), [where, message]);
  });
}

const HELLO = { model: 'tiny', messages: [{ role: 'user', content: 'hello' }] };
for (const [fields, message] of [
  [{ tool_choice: 'x' }, 'tool_choice must be one of none|auto|required or an object, got "x"'],
  [{ tool_choice: { type: 'function' } }, 'tool_choice.function is missing: it must be an object'],
  [{ stop: [''] }, 'stop[0] must be at least 1 character long, got 0'],
  [{ stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop must be at most 4 long, got 5'],
  [{ max_tokens: 0 }, 'max_tokens must be at least 1, got 0'],
  [{ response_format: 'json' }, 'response_format must be an object, got "json"'],
] as const) {
  test(`a chat is told: ${message}`, () => {
    assert.equal(told(chatCompletionRequest, { ...HELLO, ...fields })[1], message);
  });
}

test('a bound that is not part of what may be is told as such', () => {
  assert.deepEqual(told(z.object({ weight: z.number().gt(0) }), { weight: 0 }), [
    'weight',
    'weight must be more than 0, got 0',
  ]);
  assert.deepEqual(told(z.object({ part: z.number().lt(1) }), { part: 1 }), [
    'part',
    'part must be less than 1, got 1',
  ]);
});

test('a name and a day are told in our words', () => {
  assert.match(told(z.object({ name: nameField }), { name: 'A B' })[1], /^name must be 1 to 63 of a-z/);
  assert.equal(
    told(z.object({ day: z.iso.date() }), { day: '1/2/26' })[1],
    'day must be a day, as 2026-01-31, got "1/2/26"',
  );
});

test('no message carries the words of the schema library', () => {
  const values = [
    undefined,
    null,
    true,
    0,
    -1,
    1.5,
    1e99,
    '',
    'x',
    [],
    [[]],
    [null],
    {},
    { a: 1 },
    Array(3000).fill(1),
  ];
  for (const schema of [chatCompletionRequest, completionRequest]) {
    for (const field of Object.keys(schema.shape)) {
      for (const value of values) {
        const { error } = schema.safeParse({ ...HELLO, prompt: 'a', [field]: value });
        if (!error) continue;
        const { message } = describeIssues(error.issues, { [field]: value });
        assert.doesNotMatch(message, /Invalid|Too (big|small)|expected|undefined|NaN|Infinity/, `${field}: ${message}`);
      }
    }
  }
});
