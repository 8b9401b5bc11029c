import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EspalierError } from '../../base/index.ts';
import { parseBody } from '../body.ts';
import type { ChatRequest } from '../requests.ts';
import { chatCompletionRequest, chatRequestOf } from './chat-request.ts';
import { selectionOf } from './model-fields.ts';

const HELLO = { model: 'tiny', messages: [{ role: 'user', content: 'hello' }] };

function read(body: unknown): ChatRequest {
  return chatRequestOf(parseBody(chatCompletionRequest, body), 2, new Headers());
}

function problemOf(body: unknown): { param: string | undefined; message: string } {
  try {
    read(body);
  } catch (error) {
    assert.ok(error instanceof EspalierError);
    assert.equal(error.code, 'REQUEST_INVALID');
    return { param: error.param, message: error.message };
  }
  return assert.fail(`accepted ${JSON.stringify(body)}`);
}

const DEFAULTS: ChatRequest = {
  messages: [{ role: 'user', content: 'hello' }],
  format: null,
  toolUse: null,
  maxTokens: null,
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  seed: null,
  logitBias: [],
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  stop: [],
  stopTokenIds: [],
  ignoreEos: false,
  minTokens: 0,
  numChoices: 1,
  topLogprobs: null,
  scheduling: { priority: 0, timeoutMs: null },
  prediction: null,
};

test('a short request gets the defaults', () => {
  assert.deepEqual(read(HELLO), DEFAULTS);
});

test('every field that is obeyed is passed on', () => {
  const body = {
    ...HELLO,
    max_completion_tokens: 7,
    temperature: 0,
    top_p: 0.5,
    top_k: 40,
    min_p: 0.1,
    seed: -3,
    logit_bias: { 50: -100, 7: 1.5 },
    presence_penalty: 0.5,
    frequency_penalty: -0.5,
    repetition_penalty: 1.2,
    stop: ['a', 'b'],
    stop_token_ids: [3, 4],
    ignore_eos: true,
    min_tokens: 2,
    n: 2,
    logprobs: true,
    top_logprobs: 20,
    priority: -2,
    timeout: 1.5,
    prediction: { type: 'content', content: 'as before' },
  };
  assert.deepEqual(read(body), {
    messages: DEFAULTS.messages,
    format: null,
    toolUse: null,
    maxTokens: 7,
    temperature: 0,
    topP: 0.5,
    topK: 40,
    minP: 0.1,
    seed: -3,
    logitBias: [
      [7, 1.5],
      [50, -100],
    ],
    presencePenalty: 0.5,
    frequencyPenalty: -0.5,
    repetitionPenalty: 1.2,
    stop: ['a', 'b'],
    stopTokenIds: [3, 4],
    ignoreEos: true,
    minTokens: 2,
    numChoices: 2,
    topLogprobs: 20,
    scheduling: { priority: 2, timeoutMs: 1500 },
    prediction: 'as before',
  });
  assert.equal(read({ ...HELLO, logprobs: true }).topLogprobs, 0);
  assert.equal(read({ ...HELLO, top_k: -1 }).topK, 0);
  assert.equal(read({ ...HELLO, max_tokens: 9 }).maxTokens, 9);
  assert.equal(read({ ...HELLO, max_tokens: 9, max_completion_tokens: 9 }).maxTokens, 9);
  assert.deepEqual(read({ ...HELLO, stop: '\n' }).stop, ['\n']);
});

test('messages: developer is system, text parts are joined, an answer of ours can come back', () => {
  const messages = [
    { role: 'developer', content: 'be brief' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'one' },
        { type: 'text', text: 'two' },
      ],
    },
    { role: 'assistant', content: 'three', refusal: null, tool_calls: [], annotations: [] },
    { role: 'user', content: '' },
  ];
  assert.deepEqual(read({ ...HELLO, messages }).messages, [
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'one\ntwo' },
    { role: 'assistant', content: 'three' },
    { role: 'user', content: '' },
  ]);
});

test('what cannot change the answer is accepted, and so are neutral values', () => {
  const accepted = {
    user: 'u',
    safety_identifier: 's',
    store: true,
    metadata: { a: 'b' },
    service_tier: 'auto',
    prompt_cache_key: 'k',
    prompt_cache_retention: '24h',
    parallel_tool_calls: true,
    stream: true,
    stream_options: { include_usage: true, include_obfuscation: false },
    tools: [],
    tool_choice: 'none',
    functions: [],
    function_call: 'auto',
    response_format: { type: 'text' },
    logit_bias: {},
    logprobs: false,
    top_logprobs: 0,
    presence_penalty: 0,
    frequency_penalty: 0,
    reasoning_effort: 'none',
    verbosity: 'medium',
    modalities: ['text'],
  };
  assert.deepEqual(read({ ...HELLO, ...accepted }), read(HELLO));
  const known = Object.keys(chatCompletionRequest.shape).filter((field) => !(field in HELLO));
  const nulls = Object.fromEntries(known.map((field) => [field, null]));
  assert.deepEqual(read({ ...HELLO, ...nulls }), read(HELLO), 'null is the same as leaving it out');
});

test('a prediction is one text', () => {
  const prediction = (content: unknown): unknown =>
    read({ ...HELLO, prediction: { type: 'content', content } }).prediction;
  assert.equal(prediction('x'), 'x');
  const parts = ['x', 'y'].map((text) => ({ type: 'text', text }));
  assert.equal(prediction(parts), 'x\ny');
  assert.equal(problemOf({ ...HELLO, prediction: { type: 'other', content: 'x' } }).param, 'prediction.type');
});

test('what would change the answer and is not there yet is refused by name', () => {
  const refused = {
    functions: [{ name: 'f' }],
    function_call: { name: 'f' },
    reasoning_effort: 'high',
    verbosity: 'low',
    modalities: ['text', 'audio'],
    audio: { voice: 'a' },
    web_search_options: {},
  };
  for (const [param, value] of Object.entries(refused)) {
    const problem = problemOf({ ...HELLO, [param]: value });
    assert.equal(problem.param, param);
    assert.match(problem.message, new RegExp(`^${param} is not supported here yet: leave it out`));
  }
});

test('the form of an answer comes from one field, by whichever name', () => {
  const schema = { type: 'object', properties: { a: { type: 'integer' } } };
  const format = (more: object): unknown => read({ ...HELLO, ...more }).format;
  const asked = { type: 'json_schema', json_schema: { name: 'n', schema, strict: true } };
  assert.deepEqual(format({ response_format: asked }), {
    kind: 'json-schema',
    schema,
    param: 'response_format.json_schema.schema',
  });
  assert.deepEqual(format({ response_format: { type: 'json_object' } }), {
    kind: 'json-object',
    param: 'response_format',
  });
  assert.deepEqual(format({ structured_outputs: { json: JSON.stringify(schema) } }), {
    kind: 'json-schema',
    schema,
    param: 'structured_outputs.json',
  });
  assert.deepEqual(format({ guided_regex: 'a+' }), { kind: 'regex', pattern: 'a+', param: 'guided_regex' });
  assert.deepEqual(format({ guided_choice: ['x', 'y'] }), {
    kind: 'choice',
    choices: ['x', 'y'],
    param: 'guided_choice',
  });
  for (const [param, body] of Object.entries({
    guided_regex: { response_format: asked, guided_regex: 'a' },
    structured_outputs: { structured_outputs: {} },
    guided_json: { guided_json: '{"type":' },
    ignore_eos: { response_format: asked, ignore_eos: true },
    min_tokens: { response_format: asked, min_tokens: 1 },
    guided_grammar: { guided_grammar: 'start: "a"' },
  })) {
    assert.equal(problemOf({ ...HELLO, ...body }).param, param);
  }
});

test('each problem says where it is, what is expected and what was found', () => {
  const user = { role: 'user', content: 'x' };
  for (const [body, param, message] of [
    [
      { ...HELLO, messages: [user, { role: 'bot', content: 'x' }] },
      'messages[1].role',
      'messages[1].role must be one of system|developer|user|assistant|tool, got "bot"',
    ],
    [{ ...HELLO, messages: [{ role: 'function', content: 'x' }] }, 'messages[0].role', undefined],
    [
      { ...HELLO, messages: [{ content: 'x' }] },
      'messages[0].role',
      'messages[0].role is missing: it must be one of system|developer|user|assistant|tool',
    ],
    [{ ...HELLO, messages: [] }, 'messages', 'messages must be at least 1 long, got 0'],
    [{ model: 'tiny' }, 'messages', 'messages is missing: it must be an array'],
    [{ ...HELLO, model: 7 }, 'model', 'model must be a string, got 7'],
    [
      { ...HELLO, messages: [{ role: 'user', content: 3 }] },
      'messages[0].content',
      'messages[0].content must be a string or an array, got 3',
    ],
    [
      { ...HELLO, messages: [{ role: 'user' }] },
      'messages[0].content',
      'messages[0].content is missing: it must be a string or an array',
    ],
    [
      { ...HELLO, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] },
      'messages[0].content[0].type',
      undefined,
    ],
    [
      { ...HELLO, messages: [{ ...user, name: 'ann' }] },
      'messages[0].name',
      'messages[0].name is not supported here yet: leave it out',
    ],
    [
      { ...HELLO, messages: [{ ...user, mood: 'bad' }] },
      'messages[0].mood',
      'messages[0].mood is not a field that this server knows: leave it out',
    ],
    [{ ...HELLO, messages: [{ role: 'assistant', content: null }] }, 'messages[0].content', undefined],
    [
      { ...HELLO, messages: [{ role: 'assistant', content: 'x', tool_calls: [{}] }] },
      'messages[0].tool_calls[0].id',
      undefined,
    ],
    [{ ...HELLO, messages: [{ role: 'user', content: '\ud800' }] }, 'messages[0].content', undefined],
    [{ ...HELLO, beams: 4 }, 'beams', 'beams is not a field that this server knows: leave it out'],
    [{ ...HELLO, lora: [] }, 'lora', 'lora is not a field that this server knows: leave it out'],
    [{ ...HELLO, top_logprobs: 2 }, 'top_logprobs', 'top_logprobs has a meaning only with "logprobs": true'],
    [{ ...HELLO, logprobs: true, top_logprobs: 21 }, 'top_logprobs', 'top_logprobs must be at most 20, got 21'],
    [{ ...HELLO, logit_bias: { the: 1 } }, 'logit_bias.the', 'logit_bias.the must be a token id'],
    [{ ...HELLO, logit_bias: { 5: -101 } }, 'logit_bias.5', 'logit_bias.5 must be at least -100, got -101'],
    [{ ...HELLO, presence_penalty: 2.5 }, 'presence_penalty', undefined],
    [{ ...HELLO, max_tokens: 2, min_tokens: 3 }, 'min_tokens', 'min_tokens is 3, and at most 2 tokens may come'],
    [{ ...HELLO, temperature: 2.1 }, 'temperature', 'temperature must be at most 2, got 2.1'],
    [{ ...HELLO, temperature: '1' }, 'temperature', 'temperature must be a number, got "1"'],
    [{ ...HELLO, top_p: -0.1 }, 'top_p', 'top_p must be at least 0, got -0.1'],
    [{ ...HELLO, max_tokens: 0 }, 'max_tokens', 'max_tokens must be at least 1, got 0'],
    [{ ...HELLO, max_tokens: 1.5 }, 'max_tokens', 'max_tokens must be a whole number, got 1.5'],
    [{ ...HELLO, stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop', undefined],
    [{ ...HELLO, stop: '' }, 'stop', undefined],
    [{ ...HELLO, stream_options: { include_usage: true } }, 'stream_options', undefined],
    [{ ...HELLO, stream: true, stream_options: { other: 1 } }, 'stream_options.other', undefined],
    [
      { ...HELLO, messages: [{ role: 'assistant', content: 5 }] },
      'messages[0].content',
      'messages[0].content must be a string or an array, got 5',
    ],
    [{ ...HELLO, n: 3 }, 'n', 'n must be at most 2 on this server, got 3'],
    [{ ...HELLO, max_tokens: 1, max_completion_tokens: 2 }, 'max_tokens', undefined],
    [{ ...HELLO, metadata: { task: 5 } }, 'metadata.task', 'metadata.task must be a string, got 5'],
    [[], undefined, 'the body must be an object, got []'],
  ] as const) {
    const problem = problemOf(body);
    assert.equal(problem.param, param, problem.message);
    if (message !== undefined) assert.equal(problem.message, message);
  }
});

test('several problems are told together, many are counted', () => {
  assert.equal(
    problemOf({ ...HELLO, temperature: 3, beams: 4 }).message,
    'temperature must be at most 2, got 3; beams is not a field that this server knows: leave it out',
  );
  const many = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`field${n}`, n]));
  assert.match(problemOf({ ...HELLO, ...many }).message, /; and 4 more problems$/);
  assert.ok(problemOf({ ...HELLO, model: ['x'.repeat(10_000)] }).message.length < 200);
});

test('the task is a name, and the same in both places', () => {
  const task = (more: object, header?: string): string | null => {
    const headers = new Headers(header === undefined ? {} : { 'X-Task': header });
    return selectionOf(parseBody(chatCompletionRequest, { ...HELLO, ...more }), headers).task;
  };
  const spam = { metadata: { task: 'spam' } };
  assert.equal(task(spam), 'spam');
  assert.equal(task(spam, 'spam'), 'spam');
  assert.equal(task({}), null);
  assert.throws(() => task(spam, 'ham'), { code: 'REQUEST_INVALID', param: 'metadata.task' });
  assert.throws(() => task({}, 'a/b'), { code: 'REQUEST_INVALID', param: 'X-Task' });
});

test('a mix of adapters has weights, and no task beside it', () => {
  const mix = { adapters: [{ id: 'acme/a' }, { id: 'acme/b', weight: -0.5 }] };
  const selection = (more: object): unknown =>
    selectionOf(parseBody(chatCompletionRequest, { ...HELLO, ...mix, ...more }), new Headers());
  assert.deepEqual(selection({}), {
    model: 'tiny',
    task: null,
    adapters: [
      { id: 'acme/a', weight: 1 },
      { id: 'acme/b', weight: -0.5 },
    ],
  });
  assert.throws(() => selection({ metadata: { task: 'spam' } }), { code: 'REQUEST_INVALID', param: 'adapters' });
  for (const adapters of [
    [],
    [{}],
    [{ id: 'a', scale: 1 }],
    [{ id: 'a', weight: null, x: 1 }],
    'a',
    [{ id: 'a', weight: 101 }],
  ]) {
    assert.throws(() => selection({ adapters }), { code: 'REQUEST_INVALID', param: /^adapters/ });
  }
});
