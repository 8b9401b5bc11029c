/** Text completions and embeddings: shapes, log-probabilities on the wire, and that everything is given back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EspalierError } from '../base/index.ts';
import {
  assertNothingHeld,
  errorOf,
  framesOf,
  HELLO,
  logged,
  post,
  services,
} from '../../test/conformance/http/app-harness.ts';
import { ACME_DIGEST, ACME_KEY, BASE, GLOBEX_KEY } from '../../test/conformance/http/in-memory-services.ts';
import { chatCompletion, chatCompletionChunk } from './wire/chat-response.ts';
import { classificationList } from './wire/classification.ts';
import { embeddingList } from './wire/embedding.ts';
import { textCompletion, textCompletionChunk } from './wire/text-response.ts';

const complete = (body: object, headers: Record<string, string> = {}): Promise<Response> =>
  post({ model: BASE.name, ...body }, { Authorization: `Bearer ${ACME_KEY}`, ...headers }, '/v1/completions');
const embed = (body: object): Promise<Response> => post({ model: BASE.name, ...body }, {}, '/v1/embeddings');
const classify = (body: object): Promise<Response> => post({ model: 'acme/spam', ...body }, {}, '/v1/classify');

test('texts are continued whole, in the documented shape', async () => {
  const response = await complete({
    model: 'acme/spam',
    prompt: ['one two', 'three'],
    n: 2,
    max_tokens: 1,
    logprobs: 1,
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-adapter-digest'), ACME_DIGEST);
  const { id, choices, usage, ...rest } = textCompletion.strict().parse(await response.json());
  assert.match(id, /^cmpl-/);
  assert.deepEqual(rest, {
    object: 'text_completion',
    created: 1_700_000_000,
    model: 'acme/spam@1',
    system_fingerprint: ACME_DIGEST,
  });
  assert.deepEqual(
    choices.map(({ index, text, finish_reason }) => [index, text, finish_reason]),
    [
      [0, 'ONE ', 'length'],
      [1, 'ONE ', 'length'],
      [2, 'THREE', 'stop'],
      [3, 'THREE', 'stop'],
    ],
  );
  assert.deepEqual(choices[0].logprobs, {
    tokens: ['ONE '],
    token_logprobs: [0],
    top_logprobs: [{ 'ONE ': 0 }],
    text_offset: [0],
  });
  // Each prompt once, whatever the number of its choices.
  assert.deepEqual(usage, {
    prompt_tokens: 'one two'.length + 'three'.length,
    completion_tokens: 4,
    total_tokens: 16,
    prompt_tokens_details: { cached_tokens: 2 },
  });
  assertNothingHeld();
});

test('a stream of texts has the same pieces, then the usage, then [DONE]', async () => {
  const body = { prompt: ['one two', 'three'], logprobs: 0, stream: true, stream_options: { include_usage: true } };
  const frames = await framesOf(await complete(body));
  assert.equal(frames.pop(), '[DONE]');
  const chunks = frames.map((frame) => textCompletionChunk.strict().parse(JSON.parse(frame)));
  assert.deepEqual(
    chunks.map(({ choices }) => choices.map(({ index, text, finish_reason }) => [index, text, finish_reason])),
    [[[0, 'one ', null]], [[0, 'two', null]], [[0, '', 'stop']], [[1, 'three', null]], [[1, '', 'stop']], []],
  );
  assert.deepEqual(
    chunks.map(({ choices }) => choices[0]?.logprobs?.text_offset),
    [[0], [4], undefined, [0], undefined, undefined],
  );
  assert.equal(chunks.at(-1)?.usage?.completion_tokens, 3);
  assert.ok(chunks.slice(0, -1).every(({ usage }) => usage === null));
  assertNothingHeld();
});

test('log-probabilities of a chat, whole and streamed', async () => {
  const asked = { ...HELLO, logprobs: true, top_logprobs: 2 };
  const whole = chatCompletion.strict().parse(await (await post(asked)).json());
  const content = whole.choices[0].logprobs?.content ?? [];
  assert.deepEqual(content[0], {
    token: 'hello ',
    logprob: 0,
    bytes: [104, 101, 108, 108, 111, 32],
    top_logprobs: [
      { token: 'hello ', logprob: 0, bytes: [104, 101, 108, 108, 111, 32] },
      { token: 'hello !', logprob: -Math.LN2, bytes: [104, 101, 108, 108, 111, 32, 33] },
    ],
  });
  const frames = (await framesOf(await post({ ...asked, stream: true }))).slice(0, -1);
  const chunks = frames.map((frame) => chatCompletionChunk.strict().parse(JSON.parse(frame)));
  const streamed = chunks.flatMap(({ choices }) => choices[0].logprobs?.content ?? []);
  assert.deepEqual(streamed, content);
  assert.deepEqual(chunks[0].choices[0].logprobs, null, 'the role comes without');
});

test('parts of letters and impossible tokens can be told in JSON', async () => {
  const tokens = [
    { bytes: Uint8Array.of(0xf0, 0x9f), logprob: null, top: [], offset: 0 },
    {
      bytes: Uint8Array.of(0x98, 0x80),
      logprob: -Infinity,
      top: [{ bytes: Uint8Array.of(0xff), logprob: -1 }],
      offset: 0,
    },
  ];
  const usage = { promptTokens: 1, completionTokens: 2, cachedTokens: 0 };
  async function* answer() {
    yield { index: 0, text: '😀', tokens, finishReason: 'stop' as const, usage };
  }
  services.chat = answer;
  services.complete = answer;
  const text = textCompletion.parse(await (await complete({ prompt: 'x' })).json());
  assert.deepEqual(text.choices[0].logprobs, {
    tokens: ['bytes:\\xf0\\x9f', 'bytes:\\x98\\x80'],
    token_logprobs: [null, -9999],
    top_logprobs: [null, { 'bytes:\\xff': -1, 'bytes:\\x98\\x80': -9999 }],
    text_offset: [0, 0],
  });
  const chat = chatCompletion.parse(await (await post(HELLO)).json());
  assert.deepEqual(
    chat.choices[0].logprobs?.content.map(({ token, bytes }) => [token, bytes]),
    [
      ['\\xf0\\x9f', [0xf0, 0x9f]],
      ['\\x98\\x80', [0x98, 0x80]],
    ],
  );
});

test('texts and messages are classified, in the documented shape', async () => {
  const response = await classify({ input: ['abc', 'abcd'] });
  assert.equal(response.headers.get('x-adapter-digest'), ACME_DIGEST);
  const { id, ...rest } = classificationList.strict().parse(await response.json());
  assert.match(id, /^classify-/);
  assert.deepEqual(rest, {
    object: 'list',
    created: 1_700_000_000,
    model: 'acme/spam@1',
    data: [
      { index: 0, label: 'short', probs: [0.25, 0.75], num_classes: 2 },
      { index: 1, label: 'long', probs: [0.75, 0.25], num_classes: 2 },
    ],
    usage: { prompt_tokens: 2, total_tokens: 2, completion_tokens: 0 },
  });
  await classify({ messages: [{ role: 'developer', content: 'x' }, HELLO.messages[0]] });
  assert.deepEqual(services.classifications.at(-1)?.inputs, [
    { messages: [{ role: 'system', content: 'x' }, HELLO.messages[0]] },
  ]);
  for (const body of [{}, { input: 'a', messages: HELLO.messages }]) {
    assert.equal((await errorOf(await classify(body))).param, 'input');
  }
  assertNothingHeld();
});

test('embeddings in both formats', async () => {
  const response = await embed({ input: ['abc', 'b'] });
  const list = embeddingList.strict().parse(await response.json());
  assert.deepEqual(list, {
    object: 'list',
    data: [
      { object: 'embedding', index: 0, embedding: [3, 97] },
      { object: 'embedding', index: 1, embedding: [1, 98] },
    ],
    model: BASE.name,
    usage: { prompt_tokens: 2, total_tokens: 2 },
  });
  const encoded = embeddingList.parse(await (await embed({ input: 'abc', encoding_format: 'base64' })).json());
  assert.deepEqual(encoded.data[0].embedding, Buffer.from(Float32Array.of(3, 97).buffer).toString('base64'));
  await embed({ input: [[1, 2], [3]], dimensions: 7, pooling: 'last' });
  assert.deepEqual(services.embeddings.at(-1), {
    inputs: [[1, 2], [3]],
    dimensions: 7,
    pooling: 'last',
    scheduling: { priority: 0, timeoutMs: null },
  });
  assertNothingHeld();
});

test('what an embedding or a classification has read is noted, also when it breaks off', async () => {
  const noted = (): unknown => logged.at(-1)?.fields['promptTokens'];
  await embed({ input: ['a', 'b'] });
  assert.equal(noted(), 2);
  await classify({ input: ['a', 'b', 'c'] });
  assert.equal(noted(), 3);
  const breakOff = async (...[, , , , onUsed]: Parameters<typeof services.embed>): Promise<never> => {
    onUsed({ promptTokens: 5, completionTokens: 0, cachedTokens: 0 });
    throw new EspalierError('ADAPTER_UNAVAILABLE', 'gone');
  };
  services.embed = breakOff;
  services.classify = async (principal, model, _, signal, onUsed) =>
    breakOff(principal, model, services.embeddings[0], signal, onUsed);
  for (const ask of [embed, classify]) {
    logged.length = 0;
    assert.equal((await ask({ input: 'a' })).status, 503);
    assert.equal(noted(), 5);
  }
  assertNothingHeld();
});

test('both need a key, a model that the key may ask, and a free place; failures give everything back', async () => {
  for (const path of ['/v1/completions', '/v1/embeddings']) {
    const body = { model: 'acme/spam', prompt: 'x', input: 'x' };
    const { prompt, input, ...rest } = body;
    const asked = path === '/v1/completions' ? { ...rest, prompt } : { ...rest, input };
    assert.equal((await post(asked, { Authorization: 'Bearer no' }, path)).status, 401);
    const foreign = await post(asked, { Authorization: `Bearer ${GLOBEX_KEY}` }, path);
    assert.equal((await errorOf(foreign)).code, 'model_not_found');
    services.limit = 0;
    assert.equal((await post(asked, {}, path)).status, 429);
    services.limit = 100;
    assertNothingHeld();
  }
  services.embed = async () => {
    throw new EspalierError('CONTEXT_TOO_LONG', '9 tokens, 8 fit', { param: 'input[1]' });
  };
  const error = await errorOf(await embed({ input: ['a', 'b'] }));
  assert.deepEqual([error.code, error.param], ['context_length_exceeded', 'input[1]']);
  services.behaviour = { failAt: { delta: 1, error: new EspalierError('ADAPTER_UNAVAILABLE', 'gone') } };
  const frames = await framesOf(await complete({ prompt: 'one two', stream: true }));
  assert.deepEqual((JSON.parse(frames.at(-1) ?? '') as { error: { message: string } }).error.message, 'gone');
  assertNothingHeld();
});

test('a mix and a task are passed on as they were asked', async () => {
  await complete({ prompt: 'x', adapters: [{ id: 'acme/spam', weight: 2 }] });
  assert.deepEqual(services.selections.at(-1), {
    model: BASE.name,
    task: null,
    adapters: [{ id: 'acme/spam', weight: 2 }],
  });
  assert.equal((await complete({ prompt: 'x' }, { 'X-Task': 'spam' })).headers.get('x-adapter-digest'), ACME_DIGEST);
});
