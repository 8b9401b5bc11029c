/** What the console asks beside OpenAI's API: session, traffic, catalogue, a look at data, on the real server. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { startTinyServer, type TinyServer } from '../support/tiny-server.ts';

const SHAPE = { rank: 4, targets: ['q_proj'] } as const;

let server: TinyServer;
before(async () => {
  server = await startTinyServer({
    adapters: {
      'acme/reply': { seed: 1, ...SHAPE },
      'acme/spam': { seed: 2, ...SHAPE },
      'globex/reply': { seed: 3, ...SHAPE },
      'hooli/reply': { seed: 4, ...SHAPE },
    },
    serve: { jobs: 0 },
  });
});
after(() => server?.[Symbol.asyncDispose]());

// What an answer holds is checked by the tests themselves.
// oxlint-disable-next-line typescript/no-explicit-any
async function ask(path: string, key: string, body?: object): Promise<any> {
  const response = await fetch(server.url + path, {
    method: body ? 'POST' : 'GET',
    headers: { Authorization: `Bearer ${key}`, ...(body && { 'Content-Type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: response.status, ...((await response.json()) as object) };
}
const client = (key: string) => new OpenAI({ baseURL: `${server.url}/v1`, apiKey: key, maxRetries: 0 });

test('a session says whose key it is, and the bases', async () => {
  const writer = server.platform.keys.create({ tenant: 'acme', role: 'writer' });
  const { object, tenant, role, key_id, bases } = await ask('/api/session', writer.secret);
  assert.deepEqual(
    { object, tenant, role, key_id, bases },
    {
      object: 'session',
      tenant: 'acme',
      role: 'writer',
      key_id: writer.key.keyId,
      bases: [{ name: 'tiny', is_ready: true }],
    },
  );
});

test('traffic counts answers and errors of models by tenant, and nothing else', async () => {
  const operator = server.platform.keys.create({ tenant: null, role: 'admin' }).secret;
  const acme = client(server.keyOf('acme'));
  const hello = { messages: [{ role: 'user' as const, content: 'hello' }], max_tokens: 3 };
  await acme.chat.completions.create({ model: 'acme/reply', ...hello });
  const stream = await acme.chat.completions.create({ model: 'tiny', stream: true, ...hello });
  for await (const _ of stream);
  await assert.rejects(acme.chat.completions.create({ model: 'globex/reply', ...hello }));
  await acme.models.list();
  const sum = (data: Record<string, number>[], of: string): number => data.reduce((total, one) => total + one[of], 0);
  // The stream's end reaches the client before it is counted.
  let own = await ask('/api/traffic', server.keyOf('acme'));
  while (sum(own.data, 'requests') < 3) own = await ask('/api/traffic', server.keyOf('acme'));
  assert.deepEqual([sum(own.data, 'requests'), sum(own.data, 'errors')], [3, 1]);
  assert.ok(sum(own.data, 'completion_tokens') > 0 && own.data[0].mean_first_token_seconds > 0);
  assert.equal(own.tenants, undefined);
  assert.equal(own.to - own.from, 240 * own.interval_seconds);
  assert.deepEqual((await ask('/api/traffic', server.keyOf('globex'))).data, []);
  const all = await ask('/api/traffic', operator);
  assert.deepEqual(
    all.tenants.map(({ tenant, requests }: { tenant: string; requests: number }) => [tenant, requests]),
    [['acme', 3]],
  );
});

test('of an answer that is left, traffic has what was read and written until then, as usage has it', async () => {
  const key = server.keyOf('hooli');
  const left = new AbortController();
  const body = { model: 'tiny', messages: [{ role: 'user' as const, content: 'hello' }], max_tokens: 450 };
  const long = { ...body, ignore_eos: true, stream: true as const };
  const stream = await client(key).chat.completions.create(long, { signal: left.signal });
  let numChunks = 0;
  for await (const _ of stream) if (++numChunks === 3) left.abort();
  let own = await ask('/api/traffic', key);
  while (own.data.length === 0) own = await ask('/api/traffic', key);
  const [{ requests, errors, prompt_tokens: read, completion_tokens: written }] = own.data;
  assert.deepEqual([requests, errors], [1, 0]);
  assert.ok(read > 0 && written > 0 && written < 450, `${read} tokens were read, ${written} written`);
  const [used] = (await ask('/api/usage?group=tenant', key)).data;
  assert.deepEqual([used.prompt_tokens, used.completion_tokens], [read, written]);
});

test('the catalogue pages, searches and shows how latest has moved', async () => {
  const key = server.keyOf('acme');
  const ids = (list: { data: { id: string }[] }) => list.data.map(({ id }) => id);
  const all = await ask('/api/adapters', key);
  assert.deepEqual(ids(all), ['acme/reply@1', 'acme/spam@1']);
  const [reply] = all.data;
  assert.deepEqual([reply.base.name, reply.rank, reply.aliases], ['tiny', 4, ['latest']]);
  const first = await ask('/api/adapters?limit=1', key);
  assert.deepEqual([ids(first), first.has_more], [['acme/reply@1'], true]);
  const second = await ask('/api/adapters?limit=1&after=acme/reply@1', key);
  assert.deepEqual([ids(second), second.has_more], [['acme/spam@1'], false]);
  assert.deepEqual(ids(await ask('/api/adapters?q=SPA', key)), ['acme/spam@1']);
  const operator = server.platform.keys.create({ tenant: null, role: 'admin' }).secret;
  assert.equal((await ask('/api/adapters', operator)).data.length, 4);
  assert.deepEqual(ids(await ask('/api/adapters?tenant=globex', operator)), ['globex/reply@1']);
  const shown = await ask('/api/adapters/acme/spam', key);
  assert.deepEqual([shown.id, shown.history.length, shown.history[0].version], ['acme/spam@1', 1, 1]);
  assert.equal((await ask('/api/adapters?limit=0', key)).status, 400);
});

const line = (content: string, answer: string) =>
  JSON.stringify({
    messages: [
      { role: 'user', content },
      { role: 'assistant', content: answer },
    ],
  });

async function upload(text: string): Promise<string> {
  const file = await toFile(Buffer.from(text), 'train.jsonl');
  return (await client(server.keyOf('acme')).files.create({ file, purpose: 'fine-tune' })).id;
}

test('good data is described: its lengths, what is learned of it, what a job would be', async () => {
  const lines = Array.from({ length: 10 }, (_, n) => line(`hello ${n}`, 'hi'));
  const file = await upload([...lines, lines[0]].join('\n'));
  const method = { type: 'supervised', supervised: { hyperparameters: { n_epochs: 2, batch_size: 4 } } };
  const body = { file, model: 'tiny', method, preview: 2 };
  const { problems, warnings, data, estimate } = await ask('/api/data/check', server.keyOf('acme'), body);
  assert.deepEqual(problems, []);
  assert.match(JSON.stringify(warnings), /repeat an earlier one exactly \(line 11 is line 1\)/);
  assert.deepEqual([data.form, data.examples, data.preview.length], ['chat', 11, 2]);
  const learned = data.preview[0].spans.filter(({ weight }: { weight: number }) => weight > 0);
  assert.match(learned.map(({ text }: { text: string }) => text).join(''), /hi/);
  assert.ok(data.learned_tokens > 0 && data.learned_tokens < data.tokens);
  assert.deepEqual([estimate.n_epochs, estimate.batch_size, estimate.steps], [2, 4, 6]);
  assert.equal(estimate.trained_tokens, 2 * data.tokens);
  assert.ok(estimate.seconds > 0 && estimate.trainable_parameters > 0 && estimate.adapter_bytes > 0);
});

test('bad data is told line by line, and data of another form as such', async () => {
  const file = await upload(
    [line('a', 'b'), '{"messages": [', '{"messages": [{"role": "bot", "content": "x"}]}'].join('\n'),
  );
  const key = server.keyOf('acme');
  const { problems, data, estimate } = await ask('/api/data/check', key, { file, model: 'tiny' });
  assert.deepEqual([data, estimate], [null, null]);
  assert.deepEqual([...new Set(problems.map(({ line: at }: { line: number }) => at))], [2, 3]);
  assert.match(JSON.stringify(problems), /role must be one of/);
  const chats = await upload(`${line('a', 'b')}\n`);
  const dpo = await ask('/api/data/check', key, { file: chats, model: 'tiny', method: { type: 'dpo' } });
  assert.match(dpo.problems[0].message, /the file has chat examples: dpo takes preference examples/);
  assert.equal((await ask('/api/data/check', key, { file: chats, model: 'none' })).status, 404);
});
