/** Two bases in one server: each request is answered by the base of its adapter, and by no other. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import type { ModelList, TaskRouteList } from '../../console/src/api/types.ts';
import { subjectOfTask } from '../../console/src/pages/playground/subject.ts';
import { serve } from '../../src/app/index.ts';
import { startTinyServer, type TinyServer } from '../support/tiny-server.ts';

const SHAPE = { rank: 4, targets: 'all-linear' } as const;

let server: TinyServer;
let client: OpenAI;

before(async () => {
  server = await startTinyServer({
    bases: ['tiny', 'other', 'absent'],
    unserved: ['absent'],
    adapters: {
      'acme/reply': { seed: 1, ...SHAPE },
      'acme/label': { seed: 2, ...SHAPE, base: 'other' },
      'acme/lost': { seed: 3, ...SHAPE, base: 'absent' },
    },
  });
  client = new OpenAI({ apiKey: server.keyOf('acme'), baseURL: `${server.url}/v1`, maxRetries: 0 });
});
after(() => server?.[Symbol.asyncDispose]());

function ask(model: string, more: object = {}): OpenAI.ChatCompletionCreateParamsNonStreaming {
  return { model, messages: [{ role: 'user', content: 'hello' }], temperature: 0, max_completion_tokens: 12, ...more };
}

async function textOf(model: string, more: object = {}): Promise<string | null> {
  return (await client.chat.completions.create(ask(model, more))).choices[0].message.content;
}

async function refusal(model: string, more: object = {}): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await client.chat.completions.create(ask(model, more));
  } catch (error) {
    if (error instanceof OpenAI.APIError) return error;
    throw error;
  }
  return assert.fail('the request was answered');
}

/** What a server of one base alone answers. */
async function textAlone(base: string, model: string): Promise<string | null> {
  const log = { info() {}, warn() {}, error() {} };
  await using alone = await serve(server.config, { bases: [base], host: '127.0.0.1', port: 0 }, log);
  const lone = client.withOptions({ baseURL: `${alone.url}/v1` });
  return (await lone.chat.completions.create(ask(model))).choices[0].message.content;
}

test('each base and each adapter answers as it does in a server of that base alone', async () => {
  const models = [
    ['tiny', 'tiny'],
    ['other', 'other'],
    ['tiny', 'acme/reply'],
    ['other', 'acme/label'],
  ] as const;
  const together = await Promise.all(models.map(([, model]) => textOf(model)));
  assert.equal(new Set(together).size, models.length);
  for (const [n, [base, model]] of models.entries()) assert.equal(await textAlone(base, model), together[n], model);
});

test('an adapter whose base is not here, and one on the wrong base, are never answered', async () => {
  const lost = await refusal('acme/lost');
  assert.deepEqual([lost.status, lost.code], [404, 'model_not_found']);
  assert.match(lost.message, /belongs to the base absent .* this server has tiny .*, other /);
  const wrong = await refusal('tiny', { metadata: { task: 'label' } });
  assert.deepEqual([wrong.status, wrong.param], [404, 'model']);
  assert.equal(await textOf('other', { metadata: { task: 'label' } }), await textOf('acme/label'));
  const mixed = await refusal('tiny', { adapters: [{ id: 'acme/reply' }, { id: 'acme/label' }] });
  assert.deepEqual([mixed.status, mixed.param], [400, 'adapters[1].id']);
  assert.equal(await textOf('other', { adapters: [{ id: 'acme/label' }] }), await textOf('acme/label'));
});

test('both bases are listed, with the adapters that are theirs', async () => {
  const { data } = await client.models.list();
  const parents = Object.fromEntries(data.map((model) => [model.id, 'parent' in model ? model.parent : undefined]));
  for (const model of data) assert.ok('classes' in model && model.classes === null, 'no classifier is among them');
  assert.deepEqual(parents, { tiny: null, other: null, 'acme/reply@1': 'tiny', 'acme/label@1': 'other' });
});

test('the console’s playground asks a task on the base of its version', async () => {
  const headers = { Authorization: `Bearer ${client.apiKey}` };
  const get = async <T>(path: string): Promise<T> => (await (await fetch(server.url + path, { headers })).json()) as T;
  const { data: models } = await get<ModelList>('/v1/models');
  const { data: routes } = await get<TaskRouteList>('/api/routes');
  const asked = routes.flatMap((route) => subjectOfTask(route, models, 'tiny') ?? []);
  const bases = asked.map(({ task, model }) => [task, model]);
  assert.deepEqual(bases, [
    ['label', 'other'],
    ['lost', 'tiny'],
    ['reply', 'tiny'],
  ]);
});

test('a loaded name is in the memory of its base, and moves between bases', async () => {
  const call = (path: string, body: object): Promise<Response> =>
    fetch(`${server.url}/v1/${path}`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${client.apiKey}` },
      body: JSON.stringify(body),
    });
  const pinned = async (): Promise<string[]> => {
    const response = await fetch(`${server.url}/v1/lora_adapters`, {
      headers: { Authorization: `Bearer ${client.apiKey}` },
    });
    const { data } = (await response.json()) as { data: { names: string[]; base: string; pinned: boolean }[] };
    return data.flatMap(({ names, base, pinned: isPinned }) =>
      isPinned ? names.map((name) => `${name} on ${base}`) : [],
    );
  };
  assert.equal((await call('load_lora_adapter', { lora_name: 'other', lora_path: 'acme/reply' })).status, 400);
  assert.equal((await call('load_lora_adapter', { lora_name: 'lost', lora_path: 'acme/lost' })).status, 404);
  await call('load_lora_adapter', { lora_name: 'mine', lora_path: 'acme/reply' });
  assert.deepEqual(await pinned(), ['mine on tiny']);
  await call('load_lora_adapter', { lora_name: 'mine', lora_path: 'acme/label', load_inplace: true });
  assert.deepEqual(await pinned(), ['mine on other']);
  assert.equal(await textOf('mine'), await textOf('acme/label'));
  assert.equal((await call('unload_lora_adapter', { lora_name: 'mine' })).status, 200);
  assert.deepEqual(await pinned(), []);
});

test('metrics and readiness tell the bases apart', async () => {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  for (const base of ['tiny', 'other']) {
    assert.match(text, new RegExp(`^espalier_engine_steps_total\\{base="${base}"\\} [1-9]`, 'm'));
    assert.match(
      text,
      new RegExp(`^espalier_time_to_first_token_seconds_count\\{base="${base}",adapter="yes"\\} [1-9]`, 'm'),
    );
    assert.equal((await fetch(`${server.url}/readyz?base=${base}`)).status, 200);
  }
  assert.equal((await fetch(`${server.url}/readyz?base=absent`)).status, 404);
  assert.deepEqual(await (await fetch(`${server.url}/readyz`)).json(), {
    status: 'ok',
    bases: { tiny: 'ok', other: 'ok' },
  });
});

test('a base is named once', async () => {
  const log = { info() {}, warn() {}, error() {} };
  const options = { host: '127.0.0.1', port: 0 };
  for (const bases of [['tiny', 'other', 'tiny'], ['tiny', server.basePath], []]) {
    await assert.rejects(serve(server.config, { ...options, bases }, log), { code: 'USAGE_INVALID', param: '--base' });
  }
});
