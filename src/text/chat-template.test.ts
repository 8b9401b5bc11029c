import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChatMessage, ToolCall } from '../formats/index.ts';
import { CompiledTemplate } from './chat-template.ts';

const user: ChatMessage = { role: 'user', content: 'hi' };
const call: ToolCall = { type: 'function', function: { name: 'f', arguments: { a: 1 } } };
const render = (source: string, messages: readonly ChatMessage[] = [user], tools?: unknown[]): string =>
  new CompiledTemplate(source, { bos_token: '<b>', eos_token: '<e>' }, 'm.gguf').render({
    messages,
    addGenerationPrompt: true,
    ...(tools ? { tools } : {}),
  });

test('a template sees messages, role tokens, tools and the generation prompt', () => {
  const source =
    '{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token is defined }}{{ add_generation_prompt }}{{ tools is none }}';
  assert.equal(
    render(source),
    '<b>hi<e>FalseTrueTrue'.replace(/False|True/g, (word) => word.toLowerCase()),
  );
});

test('a template that cannot be parsed names its file', () => {
  assert.throws(() => render('{% for x in %}'), {
    code: 'MODEL_INVALID',
    message: /m\.gguf: the chat template cannot be read/,
  });
});

test('what the template refuses is a request error with its own words', () => {
  assert.throws(() => render("{{ raise_exception('roles must alternate') }}"), {
    code: 'REQUEST_INVALID',
    message: /m\.gguf refuses these messages: roles must alternate/,
  });
});

test('tools and tool calls are never silently left out', () => {
  const called: ChatMessage = { role: 'assistant', content: '', tool_calls: [call] };
  const contents = '{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}';
  assert.match(render(contents, [user], [{ name: 'f' }]), /^\[system: .*\{"name":"f"\}/s);
  assert.match(render(contents, [user, called]), /\[assistant: <tool_call>\n\{"name": "f"/);
  const ownWay = '{{ tools }}{{ messages[1].tool_calls[0].function.name }}';
  assert.match(render(ownWay, [user, called], [{ name: 'f' }]), /f$/);
  assert.throws(() => render('{{ tools }}', [user, called]), {
    code: 'REQUEST_INVALID',
    param: 'messages[1].tool_calls',
  });
});

test('a conversation without tools reaches every template as it is', () => {
  const contents = '{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}';
  assert.equal(render(contents, [user, { role: 'tool', content: '7' }]), '[user: hi][tool: 7]');
});

test('the weight of a training message is not shown to the template', () => {
  assert.equal(
    render('{{ messages[0].weight is defined }}', [{ role: 'assistant', content: 'a', weight: 1 }]),
    'false',
  );
});

test('today is the clock given', () => {
  const clock = { nowMs: () => 0, epochMs: () => new Date(2031, 1, 3, 4, 5, 6).getTime() };
  const template = new CompiledTemplate("{{ strftime_now('%d %b %Y %B %m %H:%M:%S 100%%') }}", {}, 'm', clock);
  assert.equal(template.render({ messages: [], addGenerationPrompt: false }), '03 Feb 2031 February 02 04:05:06 100%');
});

test('range counts as in Python', () => {
  assert.equal(
    render('{% for i in range(3) %}{{ i }}{% endfor %} {% for i in range(5, 0, -2) %}{{ i }}{% endfor %}'),
    '012 531',
  );
});

test('the digest is of the source and the role tokens', () => {
  const digest = (source: string, eos: string): string => new CompiledTemplate(source, { eos_token: eos }, 'm').digest;
  assert.equal(digest('a', 'x'), digest('a', 'x'));
  assert.equal(new Set([digest('a', 'x'), digest('b', 'x'), digest('a', 'y')]).size, 3);
});
