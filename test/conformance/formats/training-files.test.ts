import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Rng } from '../../../src/base/index.ts';
import { parseTrainingFile, readTrainingFile, type TrainingFile } from '../../../src/formats/index.ts';
import { assertRefused, temporaryFolder } from './build.ts';

const NAME = 'train.jsonl';
const user = { role: 'user', content: 'What grows on an espalier?' };
const assistant = { role: 'assistant', content: 'Pears.' };
const good = JSON.stringify({ messages: [user, assistant] });

const bytesOf = (file: string | Uint8Array): Uint8Array => (typeof file === 'string' ? Buffer.from(file) : file);
const parse = (file: string | Uint8Array): TrainingFile => parseTrainingFile(bytesOf(file), NAME);
const refused = (file: string | Uint8Array, ...texts: string[]) =>
  assertRefused(() => parse(file), 'DATA_INVALID', NAME, ...texts);
/** A file of one good line and this record: the message must name line 2. */
const secondRefused = (record: unknown, ...texts: string[]) =>
  refused(
    `${good}\n${typeof record === 'string' ? record : JSON.stringify(record)}\n`,
    `${NAME}:2: `,
    'line 2',
    ...texts,
  );
const chat = (...messages: unknown[]): unknown => ({ messages });

test('takes what is JSON Lines in UTF-8, whatever its line ends', (t) => {
  for (const [what, file] of Object.entries({
    plain: `${good}\n${good}\n`,
    'no newline at the end': `${good}\n${good}`,
    CRLF: `${good}\r\n${good}\r\n`,
    'blank lines': `\n${good}\n \t\n\r\n${good}\n\n`,
    'byte order mark': `\uFEFF${good}\n${good}\n`,
  })) {
    const { form, examples } = parse(file);
    assert.equal(form, 'chat', what);
    assert.deepEqual(
      examples.map((example) => 'messages' in example && example.messages),
      [
        [user, assistant],
        [user, assistant],
      ],
      what,
    );
  }
  const path = join(temporaryFolder(t), NAME);
  writeFileSync(path, `\n${good}\n`);
  const file = readTrainingFile(path);
  assert.equal(file.name, NAME);
  assert.equal(file.examples[0]?.line, 2);
  assert.match(file.digest, /^sha256:[0-9a-f]{64}$/);
});

test('only a newline ends a line: other separators of Unicode are text', () => {
  const content = 'a\u2028b\u2029c\u0085d\u000Be';
  const raw = JSON.stringify(chat(user, { role: 'assistant', content }));
  assert.ok(raw.includes('\u2028'));
  const { examples } = parse(`${raw}\n${good}`);
  assert.equal(examples.length, 2);
  assert.deepEqual(examples[0], { line: 1, messages: [user, { role: 'assistant', content }] });
});

test('a file without examples, or of another kind, is refused', () => {
  refused('', 'no examples');
  refused('\n\r\n  \n', 'no examples');
  refused(Buffer.from(`\uFEFF${good}`, 'utf16le'), 'UTF-16', 'UTF-8');
  refused(Buffer.from(good, 'utf16le'), 'UTF-16', 'UTF-8');
  refused(gzipSync(good), 'gzip');
  const rng = Rng.fromSeed(3);
  refused(
    Uint8Array.from({ length: 5000 }, () => rng.nextBelow(256)),
    'UTF-8',
  );
  refused(`[${good},\n${good}]`, `${NAME}:1:`, 'line 1', 'one JSON object a line');
});

test('a line that is no object of JSON is named', () => {
  secondRefused('{"messages": [', 'JSON');
  secondRefused(good.slice(0, -20), 'JSON');
  secondRefused("{'messages': []}", 'JSON');
  secondRefused('[1]', 'an array', 'object');
  secondRefused('null', 'null', 'object');
  secondRefused('7', '7', 'object');
  secondRefused(good.replace('Pears', 'Pe\u0000ars'), 'JSON');
  secondRefused(`${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'deeper');
  secondRefused(`{"messages": ${'{"a":'.repeat(70)}1${'}'.repeat(70)}}`, 'deeper');
  const [before, after] = good.split('Pears').map((part) => Buffer.from(part));
  for (const bytes of [
    [0xff, 0xfe, 0x80],
    [0xc0, 0xaf],
    [0xed, 0xa0, 0x80],
    [0xf5, 0x80, 0x80, 0x80],
  ]) {
    refused(
      Buffer.concat([Buffer.from(`${good}\n`), before, Buffer.from(bytes), after]),
      `${NAME}:2: `,
      'line 2',
      'UTF-8',
    );
  }
  // Brackets and quotes inside a text are no nesting.
  assert.equal(
    parse(JSON.stringify(chat(user, { role: 'assistant', content: '[{"\\'.repeat(500) }))).examples.length,
    1,
  );
});

test('a message that is not sound is named: line, index, field, what was expected', () => {
  secondRefused(
    chat(user, { ...assistant, role: 'bot' }),
    'messages[1].role must be one of system|user|assistant|tool, got "bot"',
  );
  secondRefused(chat(user, { ...assistant, role: 'Assistant' }), '"Assistant"');
  secondRefused(chat(user, { content: 'x' }), 'messages[1].role', 'none');
  secondRefused(chat(user, { role: 'assistant' }), 'messages[1].content', 'none');
  for (const content of [null, 4, true, { text: 'x' }]) {
    secondRefused(chat({ ...user, content }, assistant), 'messages[0].content', JSON.stringify(content));
  }
  secondRefused(chat(user, { ...assistant, content: '' }), 'messages[1].content', 'assistant', 'empty');
  secondRefused(chat(user, { ...assistant, content: 'x\ud800y' }), 'messages[1].content', 'surrogate');
  secondRefused(
    chat({ ...user, content: [{ type: 'image_url', image_url: { url: 'http://127.0.0.1/' } }] }, assistant),
    'messages[0].content[0]',
    'image_url',
  );
  secondRefused(chat({ ...user, content: [{ type: 'text', text: 5 }] }, assistant), 'messages[0].content[0].text', '5');
  secondRefused(chat('hello', assistant), 'messages[0]', '"hello"');
  secondRefused(chat(user, { ...assistant, wieght: 1 }), 'messages[1].wieght');
  secondRefused(chat(user, { ...assistant, weight: 0.5 }), 'messages[1].weight', '0.5');
  secondRefused(chat({ ...user, weight: 1 }, assistant), 'messages[0].weight', 'only for assistant');
  secondRefused(chat(user, { role: 'assistant', tool_calls: [{ id: '1' }] }), 'messages[1].tool_calls[0]');
  secondRefused(chat({ ...user, tool_calls: [] }, assistant), 'messages[0].tool_calls');
});

test('a record that is no example is named', () => {
  secondRefused(chat(), 'messages', 'empty');
  secondRefused({ messages: 'hello' }, 'messages', '"hello"');
  secondRefused(chat(user), 'assistant');
  secondRefused(chat(user, { ...assistant, weight: 0 }), 'weight 0');
  secondRefused({ body: 'x' }, '["body"]', 'messages');
  secondRefused({ text: 'x' }, 'labelled example (text)', 'line 1 is a chat example');
  secondRefused({ messages: [user, assistant], weight_typo: 1 }, 'weight_typo');
  secondRefused(`{"__proto__":{"polluted":true},"messages":${JSON.stringify([user, assistant])}}`, '__proto__');
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  secondRefused({ messages: [user, assistant], tools: [{}] }, 'tools[0]');
  secondRefused({ messages: [user, assistant], parallel_tool_calls: 1 }, 'parallel_tool_calls');
});

test('all problems of a file come at once, in order of their lines', () => {
  const lines = Array.from({ length: 40 }, (_, i) =>
    i % 2 === 0 ? good : i % 4 === 1 ? '{' : JSON.stringify(chat(user)),
  );
  const error = refused(lines.join('\n'), 'has 20 problems', `${NAME}:2: `, 'and 10 more');
  assert.deepEqual(
    error.problems.map(({ where }) => where),
    Array.from({ length: 20 }, (_, i) => `${NAME}:${2 * i + 2}`),
  );
});

test('parts are joined, calls and weights are kept, what is unusual is a warning', () => {
  const call = { id: 'c1', type: 'function', function: { name: 'water', arguments: '{"litres":2}' } };
  const tools = [{ type: 'function', function: { name: 'water', parameters: {} } }];
  const { examples, warnings } = parse(
    JSON.stringify({
      tools,
      parallel_tool_calls: false,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Water' },
            { type: 'text', text: 'it.' },
          ],
        },
        { role: 'system', content: 'late' },
        { role: 'assistant', content: null, tool_calls: [call], weight: 0 },
        { role: 'tool', content: 'done', tool_call_id: 'c1' },
        { ...assistant, weight: 1 },
        { role: 'user', content: '' },
      ],
    }),
  );
  assert.deepEqual(examples, [
    {
      line: 1,
      tools,
      messages: [
        { role: 'user', content: 'Water\nit.' },
        { role: 'system', content: 'late' },
        { role: 'assistant', content: '', weight: 0, tool_calls: [call] },
        { role: 'tool', content: 'done', tool_call_id: 'c1' },
        { ...assistant, weight: 1 },
        { role: 'user', content: '' },
      ],
    },
  ]);
  assert.deepEqual(
    warnings.map(({ where }) => where),
    [`${NAME}:1`, `${NAME}:1`],
  );
  assert.match(warnings.map(({ message }) => message).join(), /last message has the role user.*line 1.*system message/);
});

test('completion files', () => {
  const { form, examples } = parse('{"prompt":"a","completion":"b"}\n{"completion":" c","prompt":""}');
  assert.equal(form, 'completion');
  assert.deepEqual(examples, [
    { line: 1, prompt: 'a', completion: 'b' },
    { line: 2, prompt: '', completion: ' c' },
  ]);
  refused('{"prompt":"a"}', 'line 1', 'completion');
  refused('{"prompt":"a","completion":""}', 'completion is empty');
  refused('{"prompt":["a"],"completion":"b"}', 'prompt must be a text');
});

test('preference files in both spellings', () => {
  const worse = { role: 'assistant', content: 'Stones.' };
  const openAi = { input: { messages: [user] }, preferred_output: [assistant], non_preferred_output: [worse] };
  const spec = { input: { messages: [user] }, preferred_completion: [assistant], non_preferred_completion: [worse] };
  const trl = { prompt: [user], chosen: [assistant], rejected: [worse] };
  const texts = { prompt: 'a', chosen: 'b', rejected: 'c' };
  const { form, examples } = parse([openAi, spec, trl, texts].map((record) => JSON.stringify(record)).join('\n'));
  assert.equal(form, 'preference');
  const pair = { prompt: [user], chosen: assistant, rejected: worse };
  assert.deepEqual(examples, [
    { line: 1, ...pair },
    { line: 2, ...pair },
    { line: 3, ...pair },
    { line: 4, ...texts },
  ]);

  const bad = (record: unknown, ...texts2: string[]) =>
    refused(`${JSON.stringify(openAi)}\n${JSON.stringify(record)}`, `${NAME}:2: `, 'line 2', ...texts2);
  bad({ ...openAi, non_preferred_output: undefined }, 'non_preferred_output');
  bad({ ...openAi, input: undefined }, 'input');
  bad({ ...openAi, preferred_output: [user] }, 'preferred_output[0].role', '"user"');
  bad({ ...openAi, preferred_output: [assistant, assistant] }, 'preferred_output', '2 messages');
  bad({ ...openAi, input: { messages: [user, assistant] } }, 'input.messages');
  bad({ ...openAi, input: { messages: [user], tool: 1 } }, 'input.tool');
  bad({ ...openAi, chosen: [assistant] }, 'mixes');
  bad({ prompt: 'a', chosen: 'b' }, 'rejected');
  bad({ ...texts, score: 1 }, 'score');
  const same = parse(JSON.stringify({ ...openAi, non_preferred_output: [assistant] }));
  assert.match(same.warnings[0]?.message ?? '', /both answers are the same.*line 1/);
});

test('one form in a file', () => {
  secondRefused({ prompt: 'a', completion: 'b' }, 'completion example', 'line 1', 'messages');
  secondRefused({ prompt: 'a', chosen: 'b', rejected: 'c' }, 'preference example');
  refused(`{"prompt":"a","completion":"b"}\n${good}`, 'line 2', 'chat example');
});

test('preference files without a prompt part at the last message', () => {
  const worse = { role: 'assistant', content: 'Stones.' };
  const record = { chosen: [user, assistant], rejected: [user, worse] };
  assert.deepEqual(parse(JSON.stringify(record)).examples, [
    { line: 1, prompt: [user], chosen: assistant, rejected: worse },
  ]);
  const bad = (changes: object, ...texts: string[]) =>
    refused(JSON.stringify({ ...record, ...changes }), 'line 1', ...texts);
  bad({ rejected: [{ role: 'user', content: 'other' }, worse] }, 'the same conversation up to their last messages');
  bad({ rejected: [assistant] }, 'the same conversation');
  bad({ chosen: [user, user], rejected: [user, worse] }, 'chosen[1].role must be assistant');
  bad({ chosen: [user, assistant, assistant], rejected: [user, assistant, worse] }, 'two assistant messages');
  bad({ chosen: 'a', rejected: 'b' }, 'prompt is missing');
});

test('rated files', () => {
  const texts = { prompt: 'a', completion: 'b', label: true };
  const messages = { prompt: [user], completion: [assistant], label: false };
  const { form, examples } = parse(`${JSON.stringify(texts)}\n${JSON.stringify(messages)}`);
  assert.equal(form, 'rated');
  assert.deepEqual(examples, [
    { line: 1, isDesirable: true, prompt: 'a', completion: 'b' },
    { line: 2, isDesirable: false, prompt: [user], completion: assistant },
  ]);
  const bad = (changes: object, ...more: string[]) =>
    refused(JSON.stringify({ ...texts, ...changes }), 'line 1', ...more);
  bad({ label: 1 }, 'label must be true', '1');
  bad({ completion: '' }, 'completion is empty');
  bad({ completion: [assistant] }, 'completion must be a text');
  bad({ prompt: [user, assistant], completion: [assistant] }, 'prompt end with an assistant message');
  bad({ score: 1 }, 'score');
  secondRefused(texts, 'rated example', 'line 1');
});
