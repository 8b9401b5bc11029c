import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../base/index.ts';
import { HERMES, LLAMA3_JSON, toolSyntaxOf, type ToolSyntax } from './tool-syntax.ts';
import { ToolCallParser, type AnswerPart } from './tool-call-parser.ts';

interface Parsed {
  text: string;
  readonly calls: { name: string; arguments: string }[];
  readonly endsInCalls: boolean;
}

const NAMES = ['weather', 'add', 'add2'];
const weather = { name: 'weather', arguments: '{"city": "Köln }\\" {", "days": [1, {"x": null}]}' };
const add = { name: 'add', arguments: '{}' };

const hermes = (call: { name: string; arguments: string }): string =>
  `<tool_call>\n{"name": "${call.name}", "arguments": ${call.arguments}}\n</tool_call>`;
const llama = (call: { name: string; arguments: string }): string =>
  `{"name": "${call.name}", "parameters": ${call.arguments}}`;

function parse(pieces: readonly string[], syntax: ToolSyntax, onlyCalls = false): Parsed {
  const parser = new ToolCallParser(syntax, NAMES, { onlyCalls });
  let text = '';
  const calls: Parsed['calls'] = [];
  let end = 0;
  const take = (parts: readonly AnswerPart[]): void => {
    for (const part of parts) {
      assert.ok(part.end >= end, 'parts come in the order of the answer');
      end = part.end;
      if (part.kind === 'text') {
        assert.equal(pieces.join('').slice(end - part.text.length, end), part.text, 'text is where it says it is');
        text += part.text;
        continue;
      }
      if (part.name === undefined) assert.equal(part.index, calls.length - 1, 'pieces of the call that is open');
      else assert.equal(calls.push({ name: part.name, arguments: '' }), part.index + 1, 'calls are counted');
      const call = calls.at(-1);
      assert.ok(call);
      call.arguments += part.argumentsText;
    }
  };
  for (const piece of pieces) take(parser.push(piece));
  take(parser.finish());
  return { text, calls, endsInCalls: parser.endsInCalls };
}

const CASES: readonly (readonly [
  name: string,
  syntax: ToolSyntax,
  answer: string,
  text: string,
  calls: Parsed['calls'],
  isCut?: boolean,
])[] = [
  ['no call', HERMES, 'just < text <tool and more ', 'just < text <tool and more ', []],
  ['a call', HERMES, hermes(weather), '', [weather]],
  ['text before', HERMES, `Let me see. \n${hermes(weather)}`, 'Let me see.', [weather]],
  ['a name that begins like another', HERMES, hermes({ ...add, name: 'add2' }), '', [{ ...add, name: 'add2' }]],
  ['text between calls', HERMES, `${hermes(weather)} and \n${hermes(add)}\n done `, 'and\n done ', [weather, add]],
  ['two calls', HERMES, `${hermes(add)}\n${hermes(weather)}`, '', [add, weather]],
  ['cut in its arguments', HERMES, hermes(weather).slice(0, 54), '', [{ ...weather, arguments: '{"city": ' }], true],
  ['cut in its end', HERMES, hermes(add).slice(0, -4), '', [add]],
  ['cut in its name', HERMES, 'x <tool_call>\n{"name": "ad', 'x', []],
  ['cut in the second marker', HERMES, `${hermes(add)}\n<tool_c`, '<tool_c', [add]],
  ['Llama', LLAMA3_JSON, llama(weather), '', [weather]],
  ['Llama, two calls', LLAMA3_JSON, `${llama(add)}; ${llama(weather)}`, '', [add, weather]],
  ['Llama, text', LLAMA3_JSON, `The answer is ${llama(add)}`, `The answer is ${llama(add)}`, []],
  ['nothing', LLAMA3_JSON, '', '', []],
];

test('calls are found, and the text around them, however the answer is cut into pieces', () => {
  const rng = Rng.fromSeed(5, 'cuts');
  for (const [name, syntax, answer, text, calls, isCut = false] of CASES) {
    const expected = { text, calls, endsInCalls: calls.length > 0 && !isCut };
    assert.deepEqual(parse([answer], syntax), expected, name);
    assert.deepEqual(parse(answer.split(''), syntax), expected, `${name}, letter by letter`);
    for (let round = 0; round < 40; round++) {
      const pieces: string[] = [];
      for (let at = 0; at < answer.length;) {
        const length = 1 + rng.nextBelow(12);
        pieces.push(answer.slice(at, at + length));
        at += length;
      }
      assert.deepEqual(parse(pieces, syntax), expected, `${name}: ${JSON.stringify(pieces)}`);
    }
  }
});

test('an answer of calls alone has no text, wherever it is cut off', () => {
  const answer = `${hermes(add)}\n${hermes(weather)}`;
  for (let length = 0; length <= answer.length; length++) {
    const { text, calls } = parse([answer.slice(0, length)], HERMES, true);
    assert.equal(text, '');
    assert.ok(calls.length <= 2 && [add, weather].every(({ name }, n) => (calls[n]?.name ?? name) === name));
  }
});

test('a call is passed on as it comes, and text is not held back for long', () => {
  const parser = new ToolCallParser(HERMES, NAMES, { onlyCalls: false });
  assert.deepEqual(parser.push('Hello <'), [{ kind: 'text', text: 'Hello', end: 5 }]);
  assert.deepEqual(parser.push('b'), [{ kind: 'text', text: ' <b', end: 8 }]);
  assert.deepEqual(parser.push('<tool_call>\n{"name": "add", "arguments": {"a'), [
    { kind: 'call', index: 0, name: 'add', argumentsText: '', end: 49 },
    { kind: 'call', index: 0, argumentsText: '{"a', end: 52 },
  ]);
  assert.deepEqual(parser.push('": 1'), [{ kind: 'call', index: 0, argumentsText: '": 1', end: 56 }]);
  assert.equal(parser.endsInCalls, false);
  assert.deepEqual(parser.push('}}\n</tool_call>'), [{ kind: 'call', index: 0, argumentsText: '}', end: 57 }]);
  assert.equal(parser.endsInCalls, true);
});

test('the syntax is read off the template', () => {
  assert.equal(toolSyntaxOf('{{ messages }}')?.name, 'hermes', 'tools are described in text');
  assert.equal(toolSyntaxOf('{% if tools %}<tool_call>{% endif %}')?.name, 'hermes');
  const llama3 = `{% if tools %}{{ '{"name": "' + n + '", "parameters": ' }}{{ 'ipython' }}{% endif %}`;
  assert.equal(toolSyntaxOf(llama3)?.name, 'llama3-json');
  assert.equal(toolSyntaxOf('{% if tools %}<tool_call><function={% endif %}'), undefined);
  assert.equal(toolSyntaxOf('{% if tools %}[TOOL_CALLS]{% endif %}'), undefined);
});
