import assert from 'node:assert/strict';
import { test } from 'node:test';
import { letterTokenizer } from '../../test/support/letter-tokenizer.ts';
import { parseTrainingFile, type ChatMessage } from '../formats/index.ts';
import { CompiledTemplate } from './chat-template.ts';
import { ChatRenderer } from './render.ts';
import { shownTool, toolsAsText } from './tool-text.ts';

const tokenizer = letterTokenizer();
const PLAIN = `{%- for message in messages %}{{ '<|start|>' + message.role + '\\n' + message.content + '<|end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}`;
/** Shows tools and calls in a place of their own. */
const KNOWS_TOOLS = `{%- if tools %}{{ '<|start|>tools\\n' + (tools | tojson) + '<|end|>\\n' }}{% endif %}
{%- for message in messages %}{{ '<|start|>' + message.role + '\\n' + message.content }}
{%- for call in message.tool_calls or [] %}{{ '<tool_call>' + call.function.name + (call.function.arguments | tojson) }}{% endfor %}
{{- '<|end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}`;

const rendererOf = (source: string): ChatRenderer =>
  new ChatRenderer(tokenizer, new CompiledTemplate(source, {}, 'test template'));
const textOf = (ids: Iterable<number>): string => tokenizer.decode([...ids], { skipSpecial: false });

const PARAMETERS = { properties: { city: { type: 'string' } }, type: 'object' };
const question: ChatMessage = { role: 'user', content: 'how warm?' };
const asked = (given: string | Record<string, unknown>): ChatMessage => ({
  role: 'assistant',
  content: '',
  tool_calls: [{ id: 'c1', type: 'function', function: { name: 'weather', arguments: given } }],
});
const result: ChatMessage = { role: 'tool', content: '{"t": 3}', tool_call_id: 'c1' };

test('a template without a place for tools gets them as text', () => {
  const shown = textOf(
    rendererOf(PLAIN).renderPrompt([question, asked('{"city": "Köln"}'), result, { ...result, content: '7' }], {
      tools: [{ type: 'function', function: { name: 'weather', parameters: PARAMETERS } }],
    }),
  );
  assert.match(shown, /^<\|start\|>system\nYou can call tools\./);
  assert.ok(
    shown.includes(`\n{"type":"function","function":{"name":"weather","parameters":${JSON.stringify(PARAMETERS)}}}\n`),
  );
  assert.ok(
    shown.endsWith(
      '<|start|>user\nhow warm?<|end|>\n' +
        '<|start|>assistant\n<tool_call>\n{"name": "weather", "arguments": {"city":"Köln"}}\n</tool_call><|end|>\n' +
        '<|start|>user\n<tool_response>\n{"t": 3}\n</tool_response>\n<tool_response>\n7\n</tool_response><|end|>\n' +
        '<|start|>assistant\n',
    ),
    shown,
  );
});

test('a system message keeps its words, and text beside a call stays before it', () => {
  const [system, , call] = toolsAsText(
    [{ role: 'system', content: 'be brief' }, question, { ...asked('{}'), content: 'I look.' }],
    [{ name: 'f' }],
  );
  assert.match(system.content, /^be brief\n\nYou can call tools\.[^]*\n\{"name":"f"\}\n/);
  assert.match(call.content, /^I look\.\n<tool_call>\n/);
  assert.deepEqual(toolsAsText([question], []), [question]);
});

test('training and serving see the same tokens, whatever JSON says the same', () => {
  for (const source of [PLAIN, KNOWS_TOOLS]) {
    const renderer = rendererOf(source);
    const line = {
      tools: [{ function: { parameters: PARAMETERS, strict: true, name: 'weather' }, type: 'function' }],
      messages: [
        question,
        { ...asked({ city: 'Köln' }), content: null },
        result,
        { role: 'assistant', content: 'cold' },
      ],
    };
    const file = parseTrainingFile(Buffer.from(JSON.stringify(line)), 'train.jsonl');
    assert.equal(file.form, 'chat');
    const [example] = file.form === 'chat' ? file.examples : [];
    const { tokenIds, lossWeights } = renderer.renderExample(example);
    const served = { tools: [{ type: 'function', function: { name: 'weather', parameters: PARAMETERS } }] };
    const turns = [[question], [question, asked('{ "city":\n"K\\u00f6ln" }'), result]];
    for (const messages of turns) {
      const prompt = renderer.renderPrompt(messages, served);
      assert.equal(textOf(tokenIds.subarray(0, prompt.length)), textOf(prompt));
      assert.ok(lossWeights[prompt.length - 1] === 0 && lossWeights[prompt.length] === 1, 'learning begins here');
    }
  }
});

test('no control token comes out of an escape in the arguments of a call', () => {
  const given = '{"city": "\\u003c|end|>"}';
  for (const source of [PLAIN, KNOWS_TOOLS]) {
    const ids = rendererOf(source).renderPrompt([question, asked(given), result]);
    const ends = ids.filter((id) => id === tokenizer.idOf('<|end|>')).length;
    assert.equal(ends, 3, 'one for each message');
    assert.ok(textOf(ids).includes('"<|end|>"'));
  }
});

test('arguments reach a template as an object, and as text when they are none', () => {
  const shown = (given: string): string => textOf(rendererOf(KNOWS_TOOLS).renderPrompt([question, asked(given)]));
  assert.match(shown('{"a":[1,"é"]}'), /weather\{"a": \[1, "é"\]\}<\|end\|>/);
  assert.match(shown('{"a": '), /weather"\{\\"a\\": "<\|end\|>/);
  assert.match(shown(`{"a":${'['.repeat(9000)}${']'.repeat(9000)}}`), /weather"\{\\"a\\":\[{9000}\]{9000}\}"<\|end\|>/);
});

test('a tool is shown in one form; what is no tool stays as it is', () => {
  const tool = {
    function: { strict: null, parameters: PARAMETERS, description: null, name: 'f', x: 1 },
    type: 'function',
  };
  assert.equal(
    JSON.stringify(shownTool(tool)),
    `{"type":"function","function":{"name":"f","parameters":${JSON.stringify(PARAMETERS)},"x":1}}`,
  );
  for (const other of [{ name: 'f' }, 'f', null, { function: 'f' }]) assert.equal(shownTool(other), other);
});
