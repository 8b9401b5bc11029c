/** Answers, whole and streamed: their shape, their failures, and clients that leave. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EspalierError } from '../base/index.ts';
import {
  HELLO,
  services,
  logged,
  post,
  errorOf,
  framesOf,
  assertNothingHeld,
} from '../../test/conformance/http/app-harness.ts';
import { ACME_DIGEST, BASE } from '../../test/conformance/http/in-memory-services.ts';
import type { AnswerDelta } from './services.ts';
import { chatCompletion, chatCompletionChunk } from './wire/chat-response.ts';

test('answers whole, in the documented shape', async () => {
  const response = await post({ ...HELLO, model: 'acme/spam', max_tokens: 2, n: 2 });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-adapter-digest'), ACME_DIGEST);
  assert.match(response.headers.get('x-request-id') ?? '', /^req_/);
  const body = chatCompletion.strict().parse(await response.json());
  const { id, ...rest } = body;
  assert.match(id, /^chatcmpl-/);
  const choice = (index: number): unknown => ({
    index,
    message: { role: 'assistant', content: 'HELLO DEAR ', refusal: null },
    logprobs: null,
    finish_reason: 'length',
  });
  assert.deepEqual(rest, {
    object: 'chat.completion',
    created: 1_700_000_000,
    model: 'acme/spam@1',
    system_fingerprint: ACME_DIGEST,
    service_tier: 'default',
    choices: [choice(0), choice(1)],
    usage: { prompt_tokens: 1, completion_tokens: 4, total_tokens: 5, prompt_tokens_details: { cached_tokens: 1 } },
  });
  assertNothingHeld();
});

test('the base names itself and no adapter', async () => {
  const response = await post(HELLO);
  assert.equal(response.headers.get('x-adapter-digest'), null);
  const body = chatCompletion.parse(await response.json());
  assert.equal(body.system_fingerprint, BASE.digest);
  assert.equal(body.choices[0]?.message.content, 'hello dear world');
});

test('streams the same answer in chunks, then the usage, then [DONE]', async () => {
  const response = await post({ ...HELLO, stream: true, stream_options: { include_usage: true } });
  assert.equal(response.status, 200);
  const frames = await framesOf(response);
  assert.equal(frames.pop(), '[DONE]');
  const chunks = frames.map((frame) => chatCompletionChunk.strict().parse(JSON.parse(frame)));
  assert.deepEqual(
    chunks.map(({ choices }) => choices[0]?.delta),
    [
      { role: 'assistant', content: '' },
      { content: 'hello ' },
      { content: 'dear ' },
      { content: 'world' },
      {},
      undefined,
    ],
  );
  assert.deepEqual(
    chunks.map(({ choices }) => choices[0]?.finish_reason),
    [null, null, null, null, 'stop', undefined],
  );
  assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
  assert.ok(chunks.slice(0, -1).every(({ usage }) => usage === null));
  assert.deepEqual(chunks.at(-1)?.usage, {
    prompt_tokens: 1,
    completion_tokens: 3,
    total_tokens: 4,
    prompt_tokens_details: { cached_tokens: 1 },
  });
  assertNothingHeld();
});

test('a stream without include_usage has no usage, and its choices are told apart', async () => {
  const frames = await framesOf(await post({ ...HELLO, model: 'acme/spam', stream: true, n: 2 }));
  assert.equal(frames.pop(), '[DONE]');
  const chunks = frames.map((frame) => chatCompletionChunk.parse(JSON.parse(frame)));
  assert.ok(chunks.every((chunk) => !('usage' in chunk) && chunk.choices.length === 1));
  for (const index of [0, 1]) {
    const mine = chunks.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
    assert.equal(mine.map(({ delta }) => delta.content ?? '').join(''), 'HELLO DEAR WORLD');
  }
});

test('what fails before the first byte has its status, also for a stream', async () => {
  services.behaviour = {
    failAt: { delta: 0, error: new EspalierError('CONTEXT_TOO_LONG', '9 tokens, 8 fit', { param: 'messages' }) },
  };
  for (const stream of [false, true]) {
    const response = await post({ ...HELLO, stream });
    assert.equal(response.status, 400);
    const expected = {
      message: '9 tokens, 8 fit',
      type: 'invalid_request_error',
      param: 'messages',
      code: 'context_length_exceeded',
    };
    assert.deepEqual(await errorOf(response), expected);
    assertNothingHeld();
  }
});

test('what fails after the first byte is one error frame and no [DONE]', async () => {
  services.behaviour = { failAt: { delta: 2, error: new EspalierError('ADAPTER_UNAVAILABLE', 'gone') } };
  const response = await post({ ...HELLO, stream: true });
  assert.equal(response.status, 200);
  const frames = await framesOf(response);
  assert.equal(frames.length, 4);
  assert.deepEqual(JSON.parse(frames.at(-1) ?? ''), {
    error: { message: 'gone', type: 'service_unavailable_error', param: null, code: 'model_unavailable' },
  });
  assertNothingHeld();
});

test('an internal error tells the client a request id and nothing else, and the log everything', async () => {
  const secrets = [new Error('secret /etc/path'), new EspalierError('FILE_NOT_FOUND', 'secret /etc/path')];
  for (const [n, error] of secrets.entries()) {
    for (const delta of [0, 1]) {
      services.behaviour = { failAt: { delta, error } };
      const response = await post({ ...HELLO, stream: true });
      const requestId = response.headers.get('x-request-id') ?? '';
      assert.equal(response.status, delta === 0 ? 500 : 200);
      const text = await response.text();
      assert.ok(!text.includes('secret'), `${n} ${delta}: ${text}`);
      assert.ok(text.includes(requestId) && text.includes('internal_error') && !text.includes('[DONE]'));
      const entry = logged.find(({ level, fields }) => level === 'error' && fields['requestId'] === requestId);
      assert.match(String(entry?.fields['error']), /secret/);
      assert.match(String(entry?.fields['stack']), /app\.test\.ts/);
    }
  }
  assertNothingHeld();
});

test('a client’s mistake is logged without the place in the program that found it', async () => {
  assert.equal((await post({ ...HELLO, max_tokens: 0 })).status, 400);
  const entry = logged.find(({ message }) => message === 'a request was refused');
  assert.match(String(entry?.fields['error']), /max_tokens must be at least 1/);
  assert.ok(entry && !('stack' in entry.fields));
});

test('an engine that breaks its contract is our error', async () => {
  services.chat = async function* () {
    yield { index: 0, text: 'never ended' };
  };
  assert.equal((await post(HELLO)).status, 500);
  const frames = await framesOf(await post({ ...HELLO, stream: true }));
  assert.ok(frames.at(-1)?.includes('internal_error'));
  assert.equal(services.numAdmitted, 0);
});

test('a client that leaves a stream stops the answer, whenever it leaves', async () => {
  services.behaviour = { isEndless: true };
  for (const numReads of [0, 1, 5]) {
    const response = await post({ ...HELLO, stream: true });
    const reader = response.body?.getReader();
    assert.ok(reader);
    for (let n = 0; n < numReads; n++) assert.equal((await reader.read()).done, false);
    assert.equal(services.numAdmitted, 1);
    await reader.cancel();
    assertNothingHeld();
  }
});

test('a client that leaves while the next word is awaited stops the answer', async () => {
  const { promise: isAwaited, resolve: tell } = Promise.withResolvers<void>();
  services.behaviour = {
    isEndless: true,
    wait: async (signal) => {
      if (services.numDeltas < 2) return;
      tell();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  };
  const response = await post({ ...HELLO, stream: true });
  const reader = response.body?.getReader();
  assert.ok(reader);
  for (let n = 0; n < 3; n++) await reader.read();
  const pending = reader.read();
  await isAwaited;
  await reader.cancel();
  assert.equal((await pending).done, true);
  assertNothingHeld();
});

test('a client that leaves while the end is being made is released once', async () => {
  const gate = Promise.withResolvers<void>();
  const { promise: isEnding, resolve: tell } = Promise.withResolvers<void>();
  const chat = services.chat.bind(services);
  services.chat = (...args) => {
    const returns = async (): Promise<IteratorResult<AnswerDelta>> => {
      tell();
      await gate.promise;
      return { done: true, value: undefined };
    };
    return Object.assign(chat(...args), { return: returns });
  };
  const response = await post({ ...HELLO, stream: true });
  const reader = response.body?.getReader();
  assert.ok(reader);
  const decoder = new TextDecoder();
  for (let frame = ''; !frame.includes('[DONE]'); frame = decoder.decode((await reader.read()).value));
  const pending = reader.read();
  await isEnding;
  const cancelled = reader.cancel();
  gate.resolve();
  await cancelled;
  assert.equal((await pending).done, true);
  assertNothingHeld();
});

test('a stream is made no faster than it is read', async () => {
  services.behaviour = { isEndless: true };
  const response = await post({ ...HELLO, stream: true });
  const reader = response.body?.getReader();
  assert.ok(reader);
  for (let n = 0; n < 4; n++) await reader.read();
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(services.numDeltas, 3, 'one read is the role, each other one delta');
  await reader.cancel();
});
