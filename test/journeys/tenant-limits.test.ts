/** What a tenant may take of a server: its rates, its places, its urgency, its quotas; over HTTP, on the real engine. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { importAdapter, type TenantLimits } from '../../src/app/index.ts';
import { NO_LIMITS } from '../../src/tenancy/index.ts';
import { run, runJson } from '../support/processes.ts';
import { writeRandomAdapter } from '../support/tiny-adapters.ts';
import { tinySites } from '../support/tiny-base.ts';
import { startTinyServer, type TinyServer } from '../support/tiny-server.ts';

const SHAPE = { rank: 4, targets: ['q_proj'] } as const;
const REMAINING = 'x-ratelimit-remaining-tokens';
/** Time passes when a test says so. */
const time = { now: 5 };

let server: TinyServer;
before(async () => {
  server = await startTinyServer({
    adapters: { 'acme/reply': { seed: 1, ...SHAPE }, 'globex/reply': { seed: 2, ...SHAPE } },
    serve: { clock: { nowMs: () => time.now, epochMs: () => time.now } },
  });
});
after(() => server?.[Symbol.asyncDispose]());

function limit(limits: Partial<TenantLimits>, tenant = 'acme'): void {
  server.platform.tenants.setLimits(tenant, { ...NO_LIMITS, ...limits });
}

function post(
  body: object,
  tenant = 'acme',
  headers: Record<string, string> = {},
  path = 'chat/completions',
): Promise<Response> {
  return fetch(`${server.url}/v1/${path}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${server.keyOf(tenant)}`, ...headers },
    body: JSON.stringify(body),
  });
}

const ask = (more: object = {}): object => ({
  model: 'tiny',
  messages: [{ role: 'user', content: 'hello' }],
  max_tokens: 4,
  ignore_eos: true,
  ...more,
});

interface Answer {
  readonly usage: { readonly total_tokens: number; readonly prompt_tokens: number; readonly completion_tokens: number };
  readonly service_tier: string;
  readonly choices: readonly { readonly finish_reason: string }[];
}
interface Refusal {
  readonly error: { readonly code: string; readonly param: string | null; readonly message: string };
}

async function read<T>(response: Response): Promise<T> {
  return (await response.json()) as T;
}

test('the request beyond the tenant’s minute is refused with the time to wait; others do not feel it', async () => {
  limit({ requestsPerMinute: 2 });
  const first = await post(ask());
  assert.deepEqual([first.status, first.headers.get('x-ratelimit-limit-requests')], [200, '2']);
  assert.equal(first.headers.get('x-ratelimit-remaining-requests'), '1');
  assert.equal((await post(ask())).status, 200);
  const refused = await post(ask());
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get('retry-after'), '30');
  assert.equal(refused.headers.get('x-ratelimit-reset-requests'), '1m0s');
  assert.equal(refused.headers.get('x-ratelimit-remaining-requests'), '0');
  assert.equal((await read<Refusal>(refused)).error.code, 'rate_limit_exceeded');
  const other = await post(ask(), 'globex');
  assert.deepEqual([other.status, other.headers.get('x-ratelimit-limit-requests')], [200, null]);
  time.now += 29_999;
  assert.equal((await post(ask())).status, 429);
  time.now += 1;
  assert.equal((await post(ask())).status, 200, 'what was told is true');
  limit({});
  assert.equal((await post(ask())).status, 200, 'a limit that is taken away counts at once');
});

test('tokens are taken for the longest answer and given back when it is shorter, streamed or not', async () => {
  limit({ tokensPerMinute: 1000 });
  const remaining = async (): Promise<number> => {
    const response = await fetch(`${server.url}/v1/models`, {
      headers: { Authorization: `Bearer ${server.keyOf('acme')}` },
    });
    return Number(response.headers.get(REMAINING));
  };
  assert.equal(await remaining(), 1000);
  // Stop strings end the answers early.
  const short = ask({ max_tokens: 400, stop: ['e', 'a', 'o', ' '], n: 2, temperature: 1, seed: 1 });
  const whole = await post(short);
  const { usage } = await read<Answer>(whole);
  assert.ok(usage.completion_tokens < 100, `${usage.completion_tokens} tokens came`);
  assert.equal(await remaining(), 1000 - usage.total_tokens);
  const streamed = await post({ ...short, stream: true });
  // Its head came with the first token, when the whole of what it may use was taken.
  const reserved = usage.prompt_tokens + 2 * 400;
  assert.equal(Number(streamed.headers.get(REMAINING)), 1000 - usage.total_tokens - reserved);
  await streamed.text();
  assert.equal(await remaining(), 1000 - 2 * usage.total_tokens);
  const early = await post(short);
  time.now += 60_000;
  assert.equal(early.status, 200);
});

test('a request whose tokens are not there waits for the minute; one that never fits is wrong; others are cut', async () => {
  time.now += 60_000;
  limit({ tokensPerMinute: 60 });
  const open = await read<Answer>(await post(ask({ max_tokens: null })));
  assert.equal(open.usage.total_tokens, 60, 'an answer without a limit gets what the minute holds');
  assert.equal(open.choices[0].finish_reason, 'length');
  const refused = await post(ask());
  assert.equal(refused.status, 429);
  assert.match((await read<Refusal>(refused)).error.message, /60 tokens per minute/);
  assert.equal(
    (await post({ model: 'tiny', input: 'hello hello hello hello hello hello' }, 'acme', {}, 'embeddings')).status,
    429,
  );
  const never = await post(ask({ max_tokens: 100 }));
  assert.deepEqual([never.status, (await read<Refusal>(never)).error.param], [400, 'max_tokens']);
});

test('a tenant has its places and no more', async () => {
  limit({ maxConcurrent: 0 });
  const refused = await post(ask());
  assert.deepEqual([refused.status, (await read<Refusal>(refused)).error.code], [429, 'rate_limit_exceeded']);
  assert.equal((await post(ask(), 'globex')).status, 200);
});

test('a request is as urgent as its tenant may ask, and the answer names its tier', async () => {
  limit({ maxPriority: 0, weight: 2 });
  for (const [more, tier] of [
    [{}, 'default'],
    [{ service_tier: 'auto' }, 'default'],
    [{ service_tier: 'flex' }, 'flex'],
    [{ priority: 3 }, 'default'],
  ] as const) {
    assert.equal((await read<Answer>(await post(ask(more)))).service_tier, tier, JSON.stringify(more));
  }
  for (const more of [{ priority: -1 }, { service_tier: 'priority' }]) {
    const refused = await post(ask(more));
    assert.deepEqual([refused.status, (await read<Refusal>(refused)).error.param], [400, 'priority']);
  }
  limit({ maxPriority: 1 });
  assert.equal((await read<Answer>(await post(ask({ service_tier: 'priority' })))).service_tier, 'priority');
});

test('a request that has not begun within its timeout fails as one', async () => {
  limit({});
  // The one place is taken, by answers to a client that asked for ten thousands of tokens before.
  await using full = await startTinyServer({
    contextLength: 4096,
    adapters: { 'acme/reply': { seed: 1, ...SHAPE } },
    serve: { maxSequences: 1, cacheTokens: 8192 },
  });
  const url = `${full.url}/v1/chat/completions`;
  const headers = { Authorization: `Bearer ${full.keyOf('acme')}` };
  const left = new AbortController();
  const endless = ask({ max_tokens: 4000, n: 8, stream: true });
  const running = await fetch(url, { method: 'POST', headers, body: JSON.stringify(endless), signal: left.signal });
  assert.equal(running.status, 200, 'it has begun');
  for (const [more, header] of [
    [{ timeout: 0.001 }, {}],
    [{}, { 'X-Request-Timeout-Ms': '1' }],
    [{ timeout: 0.001, model: 'acme/reply' }, {}],
  ] as const) {
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...headers, ...header },
      body: JSON.stringify(ask(more)),
    });
    assert.deepEqual([response.status, (await read<Refusal>(response)).error.code], [408, 'deadline_exceeded']);
  }
  left.abort();
  await running.text().catch(() => undefined);
  const patient = await fetch(url, { method: 'POST', headers, body: JSON.stringify(ask({ timeout: 600 })) });
  assert.equal(patient.status, 200);
});

test('an open answer gets what the cache has room for; what is refused is not counted', async () => {
  await using small = await startTinyServer({
    contextLength: 512,
    serve: { cacheTokens: 256 },
    adapters: { 'acme/reply': { seed: 1, ...SHAPE } },
  });
  const { tenants, usage } = small.platform;
  tenants.setLimits('acme', { tokensPerMinute: 384 });
  const send = async (path: string, body: object): Promise<Response> =>
    fetch(`${small.url}/v1/${path}`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${small.keyOf('acme')}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ model: 'tiny', ...body }),
    });
  const chat = await send('chat/completions', { messages: [{ role: 'user', content: 'hello' }], ignore_eos: true });
  assert.equal(chat.status, 200);
  const { usage: used } = await read<{ usage: { total_tokens: number; prompt_tokens: number } }>(chat);
  assert.equal(used.total_tokens, 256);
  tenants.setLimits('acme', { tokensPerMinute: null });
  assert.equal((await send('completions', { prompt: Array<number>(400).fill(5) })).status, 400);
  const long = 'word '.repeat(1_400_000);
  for (const [path, body, param] of [
    ['completions', { prompt: long }, 'prompt'],
    ['chat/completions', { messages: [{ role: 'user', content: long }] }, 'messages'],
    ['embeddings', { input: ['a', long] }, 'input[1]'],
  ] as const) {
    const refused = await send(path, body);
    const { error } = await read<Refusal>(refused);
    assert.deepEqual([refused.status, error.code, error.param], [400, 'context_length_exceeded', param]);
    assert.match(error.message, /the prompt has 7000000 bytes, more than the 256 tokens of this server can spell/);
  }
  usage.flush();
  const sum = usage.read('acme', '2000-01-01', '9999-12-31').reduce((all, { promptTokens }) => all + promptTokens, 0);
  assert.equal(sum, used.prompt_tokens);
});

test('a tenant has as many adapters, and bytes of them, as it may', async () => {
  const { platform, config } = server;
  const publish = async (seed: number): Promise<unknown> => {
    const folder = server.adapterPath(`quota-${seed}`);
    writeRandomAdapter(folder, tinySites(), { seed, ...SHAPE });
    return importAdapter(config, folder, 'globex/more', 'tiny');
  };
  const { bytes } = platform.registry.holdings('globex');
  limit({ maxAdapters: 2 }, 'globex');
  await publish(10);
  await publish(10);
  assert.equal(platform.registry.holdings('globex').adapters, 2, 'the same content is no new version');
  await assert.rejects(publish(11), { code: 'QUOTA_EXCEEDED', param: 'max_adapters' });
  limit({ maxAdapterBytes: 3 * bytes - 1 }, 'globex');
  await assert.rejects(publish(11), { code: 'QUOTA_EXCEEDED', param: 'max_adapter_bytes' });
  limit({ maxAdapterBytes: 3 * bytes + 64 }, 'globex');
  await publish(11);
  assert.equal(platform.registry.holdings('globex').adapters, 3);
  assert.equal(platform.registry.holdings('acme').adapters, 1);
});

test('a tenant that has something is not removed: whoever got its name would get that too', async () => {
  const { home } = server.config;
  const refused = await run(['tenants', 'remove', 'globex'], { home });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /tenant "globex" has \d adapter versions: remove them first, or .*tenants erase globex/);
  assert.equal(server.platform.tenants.get('globex').name, 'globex');
  server.platform.tenants.create('hooli');
  assert.equal((await run(['tenants', 'remove', 'hooli'], { home })).code, 0);
  for (const args of [[], ['acme', '--operator']]) {
    const { code, stderr } = await run(['keys', 'create', ...args], { home });
    assert.equal(code, 2);
    assert.match(stderr, /give the tenant whose key it is, or --operator/);
  }
});

test('the command line sets limits of a server that runs, and takes them away', async () => {
  const { home } = server.config;
  const set = (...args: string[]): Promise<TenantLimits> => runJson(['tenants', 'set', 'acme', ...args], { home });
  limit({});
  const all = await set('--weight', '0.5', '--requests-per-minute', '0', '--max-adapters', '9');
  assert.deepEqual([all.weight, all.requestsPerMinute, all.maxAdapters], [0.5, 0, 9]);
  assert.equal((await post(ask())).status, 429);
  const fewer = await set('--requests-per-minute', 'none', '--weight', 'none');
  assert.deepEqual([fewer.weight, fewer.requestsPerMinute, fewer.maxAdapters], [null, null, 9]);
  assert.equal((await post(ask())).status, 200);
});

test('each answer is one line of the log', async () => {
  limit({});
  const id = 'my-trace-1';
  const response = await post(ask({ model: 'acme/reply' }), 'acme', { 'X-Request-Id': id });
  assert.equal(response.headers.get('x-request-id'), id);
  const digest = response.headers.get('x-adapter-digest');
  const lines = server.requests.filter(({ requestId }) => requestId === id);
  assert.equal(lines.length, 1);
  const { tenant, model, adapter, completionTokens, finishReason, queueSeconds, firstTokenSeconds } = lines[0];
  assert.deepEqual(
    { tenant, model, adapter, completionTokens, finishReason },
    { tenant: 'acme', model: 'acme/reply@1', adapter: digest, completionTokens: 4, finishReason: 'length' },
  );
  assert.ok(Number(queueSeconds) >= 0 && Number(firstTokenSeconds) >= Number(queueSeconds));
});
