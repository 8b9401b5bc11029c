import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import OpenAI from 'openai';
import { EspalierError, silentLog } from '../../../src/base/index.ts';
import { startServer, type RunningServer } from '../../../src/http/index.ts';
import { ACME_DIGEST, ACME_KEY, BASE, EchoServices, GLOBEX_KEY } from './in-memory-services.ts';

const services = new EchoServices();
let server: RunningServer;
let client: OpenAI;

before(async () => {
  server = await startServer(services, { host: '127.0.0.1', port: 0, log: silentLog });
});
after(() => server.close());
beforeEach(() => {
  services.behaviour = {};
  services.limit = 100;
  client = clientOf(ACME_KEY);
});

function clientOf(apiKey: string): OpenAI {
  return new OpenAI({ apiKey, baseURL: `${server.url}/v1`, maxRetries: 0 });
}

const hello = { messages: [{ role: 'user' as const, content: 'hello dear world' }] };

test('chat', async () => {
  const completion = await client.chat.completions.create({ ...hello, model: 'acme/spam', max_completion_tokens: 2 });
  assert.equal(completion.object, 'chat.completion');
  assert.equal(completion.choices[0]?.message.content, 'HELLO DEAR ');
  assert.equal(completion.choices[0]?.finish_reason, 'length');
  assert.equal(completion.model, 'acme/spam@1');
  assert.equal(completion.system_fingerprint, ACME_DIGEST);
  assert.equal(completion.usage?.total_tokens, 3);
  assert.match(completion._request_id ?? '', /^req_/);
});

test('an answer can be sent back as it came', async () => {
  const first = await client.chat.completions.create({ ...hello, model: BASE.name });
  const answer = first.choices[0]?.message;
  assert.ok(answer);
  await client.chat.completions.create({
    model: BASE.name,
    messages: [...hello.messages, answer, { role: 'user', content: 'and then?' }],
  });
  assert.deepEqual(
    services.requests.at(-1)?.messages.map(({ role }) => role),
    ['user', 'assistant', 'user'],
  );
});

test('chat with the task in metadata', async () => {
  const { data, response } = await client.chat.completions
    .create({ ...hello, model: BASE.name, metadata: { task: 'spam' } })
    .withResponse();
  assert.equal(data.model, 'acme/spam@1');
  assert.equal(response.headers.get('x-adapter-digest'), ACME_DIGEST);
});

test('streaming', async () => {
  const stream = await client.chat.completions.create({
    ...hello,
    model: BASE.name,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  let usage: OpenAI.CompletionUsage | null | undefined;
  const reasons: unknown[] = [];
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    if (chunk.choices[0]?.finish_reason) reasons.push(chunk.choices[0].finish_reason);
    usage = chunk.usage;
  }
  assert.equal(text, 'hello dear world');
  assert.deepEqual(reasons, ['stop']);
  assert.equal(usage?.completion_tokens, 3);
});

test('the stream runner gathers the same completion', async () => {
  const runner = client.chat.completions.stream({ ...hello, model: BASE.name });
  const completion = await runner.finalChatCompletion();
  assert.equal(completion.choices[0]?.message.content, 'hello dear world');
});

test('an error in the midst of a stream is thrown, never an early end', async () => {
  services.behaviour = {
    failAt: { delta: 2, error: new EspalierError('ADAPTER_UNAVAILABLE', 'the adapter has gone') },
  };
  const stream = await client.chat.completions.create({ ...hello, model: BASE.name, stream: true });
  let text = '';
  await assert.rejects(
    async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    },
    (error) => error instanceof OpenAI.APIError && error.code === 'model_unavailable',
  );
  assert.equal(text, 'hello dear ');
});

test('leaving a stream early ends the answer', async () => {
  services.behaviour = { isEndless: true };
  const stream = await client.chat.completions.create({ ...hello, model: BASE.name, stream: true });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  for (let n = 0; services.numAnswering > 0; n++) {
    assert.ok(n < 1000, 'the answer ends');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(services.numAdmitted, 0);
});

test('models', async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids, [BASE.name, 'acme/spam']);
  assert.equal((await client.models.retrieve('acme/spam')).owned_by, 'acme');
  await assert.rejects(clientOf(GLOBEX_KEY).models.retrieve('acme/spam'), OpenAI.NotFoundError);
});

test('every error is the class that the client has for it', async () => {
  const ask = (by: OpenAI, model: string, extra: object = {}): Promise<unknown> =>
    by.chat.completions.create({ ...hello, model, ...extra });

  await assert.rejects(
    ask(clientOf(GLOBEX_KEY), 'acme/spam'),
    (error) =>
      error instanceof OpenAI.NotFoundError &&
      error.code === 'model_not_found' &&
      error.param === 'model' &&
      error.type === 'invalid_request_error',
  );
  await assert.rejects(
    ask(clientOf('esp_wrong'), BASE.name),
    (error) => error instanceof OpenAI.AuthenticationError && error.code === 'invalid_api_key',
  );
  await assert.rejects(
    ask(client, BASE.name, { functions: [{ name: 'f', parameters: {} }] }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === 'functions',
  );
  services.limit = 0;
  await assert.rejects(
    ask(client, BASE.name),
    (error) => error instanceof OpenAI.RateLimitError && error.headers.get('retry-after') === '1',
  );
  services.limit = 100;
  services.behaviour = { failAt: { delta: 0, error: new Error('secret') } };
  await assert.rejects(
    ask(client, BASE.name),
    (error) =>
      error instanceof OpenAI.InternalServerError && !error.message.includes('secret') && /req_/.test(error.message),
  );
});

test('a client with retries waits for a free place', async () => {
  services.limit = 0;
  const patient = new OpenAI({ apiKey: ACME_KEY, baseURL: `${server.url}/v1`, maxRetries: 2 });
  const answer = patient.chat.completions.create({ ...hello, model: BASE.name });
  setTimeout(() => (services.limit = 100), 100);
  assert.equal((await answer).choices[0]?.message.content, 'hello dear world');
});
