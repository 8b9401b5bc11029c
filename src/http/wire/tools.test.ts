import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EspalierError } from '../../base/index.ts';
import { parseBody } from '../body.ts';
import type { ChatRequest } from '../requests.ts';
import { chatCompletionRequest, chatRequestOf } from './chat-request.ts';

const user = { role: 'user', content: 'how warm?' };
const parameters = { required: ['city'], properties: { city: { type: 'string' } }, type: 'object' };
const weather = { type: 'function', function: { name: 'weather', description: 'Of a city', parameters, strict: true } };
const time = { type: 'function', function: { name: 'time' } };
const call = { id: 'c1', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } };

function read(body: object): ChatRequest {
  return chatRequestOf(
    parseBody(chatCompletionRequest, { model: 'tiny', messages: [user], ...body }),
    2,
    new Headers(),
  );
}

function problemOf(body: object): { param: string | undefined; message: string } {
  try {
    read(body);
  } catch (error) {
    assert.ok(error instanceof EspalierError);
    assert.equal(error.code, 'REQUEST_INVALID');
    return { param: error.param, message: error.message };
  }
  return assert.fail(`accepted ${JSON.stringify(body)}`);
}

test('tools are passed on: what the model sees, and what its arguments are held to', () => {
  const { toolUse } = read({ tools: [weather, time], parallel_tool_calls: false });
  assert.deepEqual(toolUse, {
    choice: 'auto',
    isParallel: false,
    tools: [
      {
        name: 'weather',
        definition: { type: 'function', function: { name: 'weather', description: 'Of a city', parameters } },
        parameters,
        isStrict: true,
        param: 'tools[0].function.parameters',
      },
      {
        name: 'time',
        definition: { type: 'function', function: { name: 'time' } },
        parameters: { type: 'object', properties: {}, additionalProperties: false },
        isStrict: true,
        param: 'tools[1].function.parameters',
      },
    ],
  });
  assert.deepEqual(
    Object.keys(toolUse?.tools[0].parameters ?? {}).toSorted(),
    Object.keys(parameters).toSorted(),
    'nothing is added',
  );
  const shown = JSON.stringify(toolUse?.tools[0].definition);
  assert.ok(shown.includes(JSON.stringify(parameters)), 'the model sees the keys in the order of the request');
});

test('which tools may be called, and how', () => {
  const tools = [weather, time];
  assert.equal(read({ tools }).toolUse?.choice, 'auto');
  assert.equal(read({ tools, tool_choice: 'required' }).toolUse?.choice, 'required');
  assert.equal(read({ tools, tool_choice: 'none' }).toolUse, null);
  assert.equal(read({ tools, tool_choice: null, parallel_tool_calls: null }).toolUse?.isParallel, true);
  const named = read({ tools, tool_choice: { type: 'function', function: { name: 'time' } } }).toolUse;
  assert.deepEqual(named?.choice, { name: 'time' });
  assert.equal(named?.tools.length, 2, 'the model sees all of them');
  const lax = { type: 'function', function: { ...weather.function, strict: false } };
  assert.equal(read({ tools: [lax] }).toolUse?.tools[0].isStrict, false);
  for (const body of [{ tools: [] }, { tool_choice: 'auto' }, { tool_choice: 'none', parallel_tool_calls: true }]) {
    assert.equal(read(body).toolUse, null);
  }
});

test('calls and results in a conversation come as the model’s template takes them', () => {
  const messages = [
    user,
    { role: 'assistant', content: null, refusal: null, tool_calls: [{ ...call, index: 0 }] },
    {
      role: 'tool',
      tool_call_id: 'c1',
      content: [
        { type: 'text', text: '3' },
        { type: 'text', text: '4' },
      ],
    },
    { role: 'assistant', tool_calls: [{ ...call, id: 'c2', function: { ...call.function, parsed_arguments: {} } }] },
    { role: 'tool', tool_call_id: 'c1', content: '5' },
    { role: 'assistant', content: 'cold', parsed: null, tool_calls: [] },
  ];
  assert.deepEqual(read({ messages }).messages, [
    user,
    { role: 'assistant', content: '', tool_calls: [call] },
    { role: 'tool', content: '3\n4', tool_call_id: 'c1' },
    { role: 'assistant', content: '', tool_calls: [{ ...call, id: 'c2' }] },
    { role: 'tool', content: '5', tool_call_id: 'c1' },
    { role: 'assistant', content: 'cold' },
  ]);
});

test('what is wrong is refused by the name of its field', () => {
  const tools = [weather];
  const result = { role: 'tool', content: '3', tool_call_id: 'c1' };
  const called = { role: 'assistant', content: null, tool_calls: [call] };
  const withFunction = (more: object): object => ({ tools: [{ type: 'function', function: { name: 'f', ...more } }] });
  for (const [body, param] of [
    [{ tool_choice: 'required' }, 'tool_choice'],
    [{ tools: [], tool_choice: { type: 'function', function: { name: 'f' } } }, 'tool_choice'],
    [{ tools, tool_choice: { type: 'function', function: { name: 'f' } } }, 'tool_choice'],
    [{ tools, tool_choice: 'sometimes' }, 'tool_choice'],
    [{ tools: [weather, weather] }, 'tools[1].function.name'],
    [{ tools: [{ type: 'custom', custom: { name: 'f' } }] }, 'tools[0].type'],
    [withFunction({ name: 'two words' }), 'tools[0].function.name'],
    [withFunction({ parameters: { type: 'string' } }), 'tools[0].function.parameters'],
    [withFunction({ returns: {} }), 'tools[0].function.returns'],
    [{ tools, tool_choice: 'required', response_format: { type: 'json_object' } }, 'response_format'],
    [{ tools, ignore_eos: true }, 'ignore_eos'],
    [{ tools, min_tokens: 1 }, 'min_tokens'],
    [{ messages: [user, result] }, 'messages[1].tool_call_id'],
    [{ messages: [result, called] }, 'messages[0].tool_call_id'],
    [{ messages: [called, { ...result, tool_call_id: 'c2' }] }, 'messages[1].tool_call_id'],
    [{ messages: [called, { role: 'tool', content: '3' }] }, 'messages[1].tool_call_id'],
    [{ messages: [called, { ...result, name: 'weather' }] }, 'messages[1].name'],
    [{ messages: [{ role: 'assistant' }] }, 'messages[0].content'],
    [{ messages: [{ role: 'assistant', tool_calls: [] }] }, 'messages[0].content'],
    [{ messages: [{ ...called, tool_calls: [{ ...call, type: 'custom' }] }] }, 'messages[0].tool_calls[0].type'],
    [{ messages: [{ ...user, tool_calls: [call] }] }, 'messages[0].tool_calls'],
  ] as const) {
    const problem = problemOf(body);
    assert.equal(problem.param, param, problem.message);
  }
  assert.equal(read({ tools, response_format: { type: 'json_object' } }).format?.kind, 'json-object', 'either of them');
});
