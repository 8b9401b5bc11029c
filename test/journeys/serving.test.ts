/** `espalier serve` with eight adapters of two tenants, asked by the official `openai` client. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import type { AdapterVersion } from '../../src/app/index.ts';
import { writeRandomAdapter } from '../support/tiny-adapters.ts';
import { runJson, startServe, TemporaryFolder, type RunningServe } from '../support/processes.ts';
import { tinySites, writeTinyBase } from '../support/tiny-base.ts';

type ChatBody = OpenAI.ChatCompletionCreateParamsNonStreaming;

const CONTEXT = 4096;
/** Four tasks each. */
const TENANTS = ['acme', 'globex'];
const TASKS = ['triage', 'reply', 'label', 'summary'];
const SHAPES = [
  { rank: 4, targets: ['q_proj', 'v_proj'] },
  { rank: 8, targets: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] },
  { rank: 2, targets: 'all-linear' },
  { rank: 16, targets: ['gate_proj', 'down_proj'] },
] as const;

const folder = new TemporaryFolder();
const home = folder.join('home');
const versions = new Map<string, AdapterVersion>();
const clients = new Map<string, OpenAI>();
let server: RunningServe;

before(async () => {
  writeTinyBase(folder.join('tiny'), { contextLength: CONTEXT });
  await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], { home });
  const keys = new Map<string, string>();
  for (const tenant of TENANTS) {
    await runJson(['tenants', 'create', tenant], { home });
    const role = ['--role', 'writer'];
    keys.set(tenant, (await runJson<{ secret: string }>(['keys', 'create', tenant, ...role], { home })).secret);
  }
  const names = TENANTS.flatMap((tenant) => TASKS.map((task) => `${tenant}/${task}`));
  // All at once, as tenants would.
  const publishing = names.map((name, index) => {
    const directory = folder.join(`adapter-${index}`);
    writeRandomAdapter(directory, tinySites(), { ...SHAPES[index % SHAPES.length], seed: 10 + index });
    return runJson<AdapterVersion>(['adapters', 'publish', directory, name, '--base', 'tiny'], { home });
  });
  const published = await Promise.all(publishing);
  for (const [index, name] of names.entries()) versions.set(name, published[index]);
  server = await startServe(['--base', 'tiny', '--cache-tokens', '8192'], { home, threads: 2 });
  for (const [tenant, apiKey] of keys) {
    clients.set(tenant, new OpenAI({ apiKey, baseURL: `${server.url}/v1`, maxRetries: 0 }));
  }
});
after(async () => {
  await server?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

function clientOf(tenant: string): OpenAI {
  const client = clients.get(tenant);
  assert.ok(client, tenant);
  return client;
}

function ask(text: string, model: string, more: Partial<ChatBody> = {}): ChatBody {
  return { model, messages: [{ role: 'user', content: text }], temperature: 0, max_completion_tokens: 24, ...more };
}

async function textOf(tenant: string, body: ChatBody): Promise<string> {
  const { choices } = await clientOf(tenant).chat.completions.create(body);
  assert.equal(choices.length, 1);
  const { content } = choices[0].message;
  assert.equal(typeof content, 'string');
  return content ?? '';
}

async function metric(name: string, prefix = 'espalier_engine'): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${prefix}_${name} `));
  assert.ok(line, `${name} is in /metrics`);
  return Number(line.split(' ').at(-1));
}

/** Waits until the engine has nothing in flight, and every block of its cache is free. */
async function untilIdle(): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const names = ['running_sequences', 'waiting_sequences', 'adapter_waiting_requests'];
    const [running, waiting, loading] = await Promise.all(names.map((name) => metric(name)));
    const taken = (await metric('cache_blocks')) - (await metric('cache_blocks_free'));
    if (running + waiting + loading === 0 && taken === 0) return;
    await sleep(50);
  }
  assert.fail('sequences or cache blocks are still held');
}

async function refusal(tenant: string, body: ChatBody): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await clientOf(tenant).chat.completions.create(body);
  } catch (error) {
    if (error instanceof OpenAI.APIError) return error;
    throw error;
  }
  return assert.fail('the request was answered');
}

describe('which adapter answers', () => {
  test('model names the adapter; the response names the exact version', async () => {
    for (const [name, version] of versions) {
      const { data: answer, response } = await clientOf(version.tenant)
        .chat.completions.create(ask('hello', name))
        .withResponse();
      assert.equal(answer.model, `${name}@1`);
      assert.equal(answer.system_fingerprint, version.digest);
      assert.equal(response.headers.get('x-adapter-digest'), version.digest);
    }
  });

  test('every adapter changes the answer, each in its own way', async () => {
    const answers = [await textOf('acme', ask('hello', 'tiny'))];
    for (const [name, { tenant }] of versions) answers.push(await textOf(tenant, ask('hello', name)));
    assert.equal(new Set(answers).size, versions.size + 1);
  });

  test('a version and a digest name the same adapter', async () => {
    const { digest } = versions.get('acme/reply') ?? assert.fail();
    const text = await textOf('acme', ask('hello', 'acme/reply'));
    assert.equal(await textOf('acme', ask('hello', 'acme/reply@1')), text);
    assert.equal(await textOf('acme', ask('hello', digest)), text);
  });

  test('metadata.task and X-Task pick the adapter of the key’s tenant', async () => {
    for (const tenant of TENANTS) {
      const { digest } = versions.get(`${tenant}/label`) ?? assert.fail();
      const direct = await textOf(tenant, ask('hello', `${tenant}/label`));
      const routes = [
        clientOf(tenant).chat.completions.create(ask('hello', 'tiny', { metadata: { task: 'label' } })),
        clientOf(tenant).chat.completions.create(ask('hello', 'tiny'), { headers: { 'X-Task': 'label' } }),
      ];
      for (const answer of await Promise.all(routes)) {
        assert.equal(answer.system_fingerprint, digest);
        assert.equal(answer.choices[0].message.content, direct);
      }
    }
  });

  test('the list of models is the base and the tenant’s own adapters', async () => {
    for (const tenant of TENANTS) {
      const { data } = await clientOf(tenant).models.list();
      assert.deepEqual(
        data.map(({ id }) => id).toSorted(),
        ['tiny', ...TASKS.map((task) => `${tenant}/${task}@1`)].toSorted(),
      );
    }
  });

  test('an unknown and a foreign adapter are the same error, byte for byte but for the name', async () => {
    const { digest } = versions.get('globex/reply') ?? assert.fail();
    const pairs: readonly (readonly [unknown: string, foreign: string])[] = [
      ['globex/nothing', 'globex/reply'],
      ['nobody/reply', 'globex/reply'],
      ['globex/reply@9', 'globex/reply@1'],
      [`sha256:${'0'.repeat(64)}`, digest],
    ];
    for (const names of pairs) {
      const [unknown, foreign] = await Promise.all(
        names.map(async (model) => {
          const error = await refusal('acme', ask('hello', model));
          assert.ok(error instanceof OpenAI.NotFoundError);
          assert.equal(error.code, 'model_not_found');
          return JSON.stringify(error.error).replaceAll(model, 'MODEL');
        }),
      );
      assert.equal(foreign, unknown);
      await assert.rejects(clientOf('acme').models.retrieve(names[1]), OpenAI.NotFoundError);
    }
    const task = await refusal('acme', ask('hello', 'tiny', { metadata: { task: 'nothing' } }));
    assert.deepEqual([task.status, task.code], [404, 'model_not_found']);
  });

  test('a wrong key is refused', async () => {
    const stranger = new OpenAI({ apiKey: 'esp-wrong', baseURL: `${server.url}/v1`, maxRetries: 0 });
    await assert.rejects(stranger.chat.completions.create(ask('hello', 'tiny')), OpenAI.AuthenticationError);
  });
});

describe('answers', () => {
  test('a stream is the whole answer in pieces, with usage at the end', async () => {
    const body = ask('tell me more', 'acme/triage', { max_completion_tokens: 60 });
    const whole = await clientOf('acme').chat.completions.create(body);
    const stream = await clientOf('acme').chat.completions.create({
      ...body,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let numPieces = 0;
    const reasons: unknown[] = [];
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      assert.equal(chunk.system_fingerprint, whole.system_fingerprint);
      for (const { delta, finish_reason } of chunk.choices) {
        text += delta.content ?? '';
        numPieces += delta.content ? 1 : 0;
        if (finish_reason) reasons.push(finish_reason);
      }
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.ok(numPieces > 10, `${numPieces} pieces`);
    assert.deepEqual(reasons, [whole.choices[0].finish_reason]);
    const { prompt_tokens_details: details, ...counts } = usage ?? assert.fail('usage came');
    const { prompt_tokens_details: _, ...expected } = whole.usage ?? assert.fail('usage came');
    assert.deepEqual(counts, expected);
    // The whole answer has left its prompt in the cache.
    const numCached = details?.cached_tokens ?? 0;
    assert.ok(numCached > 0 && numCached < counts.prompt_tokens, `${numCached} cached tokens`);
  });

  test('a prompt’s prefix is cached for the tenant and the model that asked it, and for nobody else', async () => {
    const cachedOf = async (tenant: string, model: string): Promise<number | undefined> => {
      const text = 'a question that was not asked before, in so many words';
      const { usage } = await clientOf(tenant).chat.completions.create(ask(text, model));
      return usage?.prompt_tokens_details?.cached_tokens;
    };
    assert.equal(await cachedOf('acme', 'tiny'), 0);
    assert.ok(Number(await cachedOf('acme', 'tiny')) > 0);
    assert.equal(await cachedOf('acme', 'acme/label'), 0);
    assert.equal(await cachedOf('acme', 'acme/reply'), 0);
    assert.equal(await cachedOf('globex', 'tiny'), 0);
    assert.ok(Number(await cachedOf('acme', 'acme/label')) > 0);
  });

  test('max_completion_tokens ends the answer with the reason length', async () => {
    const answer = await clientOf('acme').chat.completions.create(ask('hello', 'tiny', { max_completion_tokens: 5 }));
    assert.equal(answer.choices[0].finish_reason, 'length');
    assert.equal(answer.usage?.completion_tokens, 5);
    assert.equal(answer.usage?.total_tokens, (answer.usage?.prompt_tokens ?? 0) + 5);
  });

  test('a stop string ends the answer before it, streamed or not', async () => {
    const body = ask('hello', 'acme/summary', { max_completion_tokens: 60 });
    const text = await textOf('acme', body);
    // In the middle, and found nowhere earlier.
    const stop = Array.from(text).slice(20, 24).join('');
    const expected = text.slice(0, text.indexOf(stop));
    assert.ok(expected.length > 0 && stop.length >= 4);
    const stopped = await clientOf('acme').chat.completions.create({ ...body, stop: ['never said', stop] });
    assert.equal(stopped.choices[0].message.content, expected);
    assert.equal(stopped.choices[0].finish_reason, 'stop');
    let streamed = '';
    for await (const chunk of await clientOf('acme').chat.completions.create({ ...body, stop, stream: true })) {
      streamed += chunk.choices[0]?.delta.content ?? '';
    }
    assert.equal(streamed, expected);
    await untilIdle();
  });

  test('a seed decides the sampled answer; n gives different ones, of which the first is that of n = 1', async () => {
    const body = ask('hello', 'globex/triage', { temperature: 1, seed: 5 });
    const single = await clientOf('globex').chat.completions.create(body);
    const one = single.choices[0].message.content;
    assert.equal(await textOf('globex', body), one);
    assert.notEqual(await textOf('globex', { ...body, seed: 6 }), one);
    const { choices, usage } = await clientOf('globex').chat.completions.create({ ...body, n: 2 });
    assert.deepEqual(
      choices.map(({ index }) => index),
      [0, 1],
    );
    assert.equal(choices[0].message.content, one);
    assert.notEqual(choices[1].message.content, one);
    assert.ok(Number(usage?.completion_tokens) > Number(single.usage?.completion_tokens), 'usage is of both answers');
  });

  test('a prompt that is too long is refused with both lengths', async () => {
    const error = await refusal('acme', ask('a b c '.repeat(2000), 'tiny'));
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.code, 'context_length_exceeded');
    const [, prompt, limit] = /has (\d+) tokens.* the (\d+) /.exec(error.message) ?? [];
    assert.ok(Number(prompt) > CONTEXT && Number(limit) === CONTEXT, error.message);
    const asked = await refusal('acme', ask('hello', 'tiny', { max_completion_tokens: CONTEXT }));
    assert.match(asked.message, new RegExp(`max_tokens is ${CONTEXT}`));
  });
});

/** One after the other, requests take a step for each token: so many of the tokens must have come without a step of their own. */
const MET_SHARE = 0.3;

describe('many at once', () => {
  test('each answer is the one that the request gets alone', async () => {
    const names = ['tiny', ...versions.keys()];
    const requests = names.flatMap((name, index) => {
      const text = 'pear quince plum '.repeat(1 + 7 * index);
      const tenant = versions.get(name)?.tenant ?? 'acme';
      const greedy = ask(text, name, { max_completion_tokens: 150 + index });
      return [
        { tenant, body: greedy },
        { tenant, body: { ...greedy, temperature: 0.9, top_p: 0.95, seed: index } },
      ];
    });
    const alone: string[] = [];
    for (const { tenant, body } of requests) alone.push(await textOf(tenant, body));
    assert.equal(new Set(alone).size, requests.length);
    // How many of them meet in a step is up to the machine, so they are sent again until many have met.
    for (let attempt = 1, share = 0; share < MET_SHARE; attempt++) {
      assert.ok(attempt <= 50, `requests sent at once never shared steps: ${share} of the tokens did`);
      const [stepsBefore, tokensBefore] = [await metric('steps_total'), await metric('generated_tokens_total')];
      const together = await Promise.all(requests.map(({ tenant, body }) => textOf(tenant, body)));
      assert.deepEqual(together, alone);
      const steps = (await metric('steps_total')) - stepsBefore;
      share = 1 - steps / ((await metric('generated_tokens_total')) - tokensBefore);
    }
    assert.equal(await metric('resident{tier="ready"}', 'espalier_adapters'), versions.size);
    await untilIdle();
  });

  test('clients that leave free their sequences at once', async () => {
    await untilIdle();
    const generatedBefore = await metric('generated_tokens_total');
    const leaving = [...versions].slice(0, 2).map(async ([name, { tenant }]) => {
      const left = new AbortController();
      const body = { ...ask('hello', name, { max_completion_tokens: 3000 }), stream: true as const };
      const stream = await clientOf(tenant).chat.completions.create(body, { signal: left.signal });
      let numChunks = 0;
      for await (const _ of stream) if (++numChunks === 5) left.abort();
    });
    await Promise.all(leaving);
    await untilIdle();
    const generated = (await metric('generated_tokens_total')) - generatedBefore;
    assert.ok(generated < 3000, `${generated} of 6000 tokens were generated`);
    assert.equal(await textOf('acme', ask('hello', 'tiny')), await textOf('acme', ask('hello', 'tiny')));
  });
});

describe('adapters by name', () => {
  async function call(tenant: string, path: string, body?: object, method = 'POST'): Promise<Response> {
    const headers = { Authorization: `Bearer ${clientOf(tenant).apiKey}`, 'Content-Type': 'application/json' };
    return fetch(`${server.url}/v1/${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
  }
  const load = (tenant: string, lora_name: string, lora_path: string, more = {}): Promise<Response> =>
    call(tenant, 'load_lora_adapter', { lora_name, lora_path, ...more });

  test('a name that is loaded answers for its tenant only, can be moved, and unloading frees its bytes', async () => {
    const loaded = await load('acme', 'Helper', 'acme/reply');
    assert.equal(loaded.status, 200);
    assert.equal(await loaded.text(), "Success: LoRA adapter 'Helper' added successfully.");
    assert.equal(await textOf('acme', ask('hello', 'Helper')), await textOf('acme', ask('hello', 'acme/reply')));
    assert.equal((await refusal('globex', ask('hello', 'Helper'))).status, 404);
    assert.equal((await load('acme', 'Helper', 'acme/label')).status, 400);
    assert.equal((await load('acme', 'Helper', 'acme/label', { load_inplace: true })).status, 200);
    assert.equal(await textOf('acme', ask('hello', 'Helper')), await textOf('acme', ask('hello', 'acme/label')));
    assert.ok((await clientOf('acme').models.list()).data.some(({ id }) => id === 'Helper'));

    const { data } = (await (await call('acme', 'lora_adapters', undefined, 'GET')).json()) as {
      data: { digest: string; names: string[]; ready_bytes: number; host_bytes: number; pinned: boolean }[];
    };
    const residence = data.find(({ names }) => names.includes('Helper')) ?? assert.fail('it is listed');
    assert.equal(residence.digest, versions.get('acme/label')?.digest);
    assert.equal(residence.pinned, true);
    assert.equal((await call('globex', 'lora_adapters/Helper', undefined, 'DELETE')).status, 404);
    const unloaded = await call('acme', 'unload_lora_adapter', { lora_name: 'Helper' });
    assert.equal(await unloaded.text(), "Success: LoRA adapter 'Helper' removed successfully.");
    assert.equal(unloaded.headers.get('x-freed-bytes'), String(residence.ready_bytes + residence.host_bytes));
    assert.equal((await refusal('acme', ask('hello', 'Helper'))).status, 404);
    assert.equal((await call('acme', 'unload_lora_adapter', { lora_name: 'Helper' })).status, 404);
  });

  test('only references of the tenant’s own adapters are loaded: no path, no URL, nobody else’s', async () => {
    for (const path of ['/etc/passwd', '../acme', './adapter', 'https://example.com/a', 'file:///tmp/x', 'a/b/c', '']) {
      const response = await load('acme', 'x', path);
      assert.equal(response.status, 400, path);
      assert.match(await response.text(), /lora_path/);
    }
    for (const path of ['globex/reply', 'acme/nothing', `sha256:${'0'.repeat(64)}`]) {
      assert.equal((await load('acme', 'x', path)).status, 404, path);
    }
    for (const name of ['tiny', 'a/b', 'a@1', '']) {
      assert.equal((await load('acme', name, 'acme/reply')).status, 400, name);
    }
    assert.equal((await load('acme', 'x', 'acme/reply', { is_3d_lora_weight: true })).status, 400);
  });
});

test('a server that is told to end finishes its answers, takes no new ones, and exits with 0', async () => {
  const body = ask('hello', 'acme/triage', { max_completion_tokens: 200 });
  const whole = await textOf('acme', body);
  const stream = await clientOf('acme').chat.completions.create({ ...body, stream: true });
  let text = '';
  let numChunks = 0;
  for await (const { choices } of stream) {
    if (numChunks++ === 0) server.program.kill('SIGTERM');
    text += choices[0]?.delta.content ?? '';
  }
  assert.equal(text, whole);
  const { code, signal } = await server.program.finished;
  assert.deepEqual([code, signal], [0, null]);
  await assert.rejects(fetch(`${server.url}/healthz`));
});

test('a cache that holds little makes requests wait; none is lost, and the answers are the same', async () => {
  const args = ['--base', 'tiny', '--cache-tokens', '256', '--max-sequences', '3'];
  server = await startServe(args, { home });
  const client = clientOf('acme').withOptions({ baseURL: `${server.url}/v1` });
  const bodies = TASKS.flatMap((task) =>
    [20, 60].map((max_completion_tokens) => ask('plum', `acme/${task}`, { max_completion_tokens })),
  );
  const texts = async (body: ChatBody): Promise<unknown> =>
    (await client.chat.completions.create(body)).choices[0].message.content;
  const alone: unknown[] = [];
  for (const body of bodies) alone.push(await texts(body));
  assert.deepEqual(await Promise.all(bodies.map(texts)), alone);
  // Without a limit of its own a request may take the whole cache, not the whole context, which is larger here.
  const { usage, choices } = await client.chat.completions.create({ ...bodies[0], max_completion_tokens: null });
  assert.ok(choices[0].finish_reason === 'stop' || usage?.total_tokens === 256, JSON.stringify(usage));
  await untilIdle();
});
