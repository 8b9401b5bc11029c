/** What requests and jobs use comes out as bill lines, by tenant, project and adapter, over HTTP and from the command line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { EspalierClient } from '../../src/client/index.ts';
import { run, runJson } from '../support/processes.ts';
import { startTinyServer } from '../support/tiny-server.ts';
import { chatLines } from '../support/tuning-data.ts';

interface Line {
  readonly tenant: string | null;
  readonly project: string | null;
  readonly adapter: string | null;
  readonly requests: number;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly training_tokens: number;
  readonly cost: number;
  readonly currency: string | null;
}

test('requests and jobs are billed to their tenant, project and adapter', { timeout: 120_000 }, async () => {
  const shape = { rank: 2, targets: ['q_proj'] } as const;
  await using server = await startTinyServer({
    adapters: { 'acme/reply': { seed: 1, ...shape }, 'globex/reply': { seed: 2, ...shape } },
    serve: { jobs: 1 },
  });
  const { platform, config } = server;
  const { home } = config;
  const inProject = platform.keys.create({ tenant: 'acme', role: 'writer', project: 'web' }).secret;
  const operator = platform.keys.create({ tenant: null, role: 'admin' }).secret;
  await runJson(['usage', 'prices', '--currency', 'EUR', '--prompt', '7', '--completion', '10'], { home });
  const api = (apiKey: string) => new EspalierClient({ baseUrl: server.url, apiKey });
  // A running server counts with them from now on, whoever set them; what is not named stays.
  const set = await api(operator).call('setPrices', { body: { prompt: 2, training: 3 } });
  const everybody = { currency: 'EUR', prompt: 2, cached: null, completion: 10, training: 3 };
  const [row] = await runJson<(typeof everybody & { fromDay: string })[]>(['usage', 'prices'], { home });
  assert.deepEqual(row, { tenant: null, fromDay: set.from_day, ...everybody });
  await api(operator).call('setPrices', { body: { tenant: 'globex', prompt: 1, currency: 'USD' } });
  assert.equal((await api(operator).call('listPrices')).data.length, 2);
  const paid = async (key: string) =>
    (await api(key).call('listPrices')).data.map(({ tenant, prompt }) => [tenant, prompt]);
  assert.deepEqual(await paid(server.keyOf('globex')), [['globex', 1]]);
  assert.deepEqual(await paid(inProject), [['acme', 2]], 'a tenant sees what it pays, not what others do');
  for (const [body, param] of [
    [{ prompt: -1 }, 'prompt'],
    [{ currency: 'euro' }, 'currency'],
    [{ tenant: 'acme' }, null],
  ] as const) {
    await assert.rejects(api(operator).call('setPrices', { body }), { status: 400, param });
  }
  await assert.rejects(api(operator).call('setPrices', { body: { tenant: 'none', prompt: 1 } }), { status: 404 });
  await api(operator).call('setPrices', { body: { tenant: 'globex', prompt: null, currency: null } });
  const clientOf = (apiKey: string, project?: string): OpenAI =>
    new OpenAI({ apiKey, baseURL: `${server.url}/v1`, maxRetries: 0, ...(project !== undefined && { project }) });
  const ask = (client: OpenAI, model: string) =>
    client.chat.completions.create({ model, messages: [{ role: 'user', content: 'hello' }], max_tokens: 3 });
  await ask(clientOf(server.keyOf('acme')), 'acme/reply');
  await ask(clientOf(server.keyOf('acme'), 'app'), 'acme/reply');
  await ask(clientOf(inProject), 'tiny');
  await ask(clientOf(inProject, 'web'), 'tiny');
  await ask(clientOf(server.keyOf('globex')), 'globex/reply');
  await assert.rejects(ask(clientOf(inProject, 'app'), 'tiny'), { status: 401, code: 'mismatched_project' });
  await assert.rejects(ask(clientOf(server.keyOf('acme'), 'No Name'), 'tiny'), { status: 400 });
  const client = clientOf(inProject);
  const file = await client.files.create({
    file: await toFile(Buffer.from(chatLines(10)), 'x.jsonl'),
    purpose: 'fine-tune',
  });
  let job = await client.fineTuning.jobs.create({ model: 'tiny', training_file: file.id });
  while (job.finished_at === null) {
    await sleep(50);
    job = await client.fineTuning.jobs.retrieve(job.id);
  }
  assert.ok((job.trained_tokens ?? 0) > 0, JSON.stringify(job));

  const get = (query: string, key: string): Promise<Response> =>
    fetch(`${server.url}/api/usage${query}`, { headers: { Authorization: `Bearer ${key}` } });
  const lines = async (query: string, key: string): Promise<Line[]> =>
    ((await (await get(query, key)).json()) as { data: Line[] }).data;
  const own = await lines('?group=project', inProject);
  assert.deepEqual(
    own.map(({ project, requests, training_tokens }) => [project, requests, training_tokens]),
    [
      ['', 1, 0],
      ['app', 1, 0],
      ['web', 2, job.trained_tokens],
    ],
  );
  for (const line of own) {
    const { prompt_tokens, completion_tokens, training_tokens } = line;
    const expected = (2 * prompt_tokens + 10 * completion_tokens + 3 * training_tokens) / 1e6;
    assert.deepEqual([line.cost, line.currency], [expected, 'EUR'], JSON.stringify(line));
  }
  const all = await lines('', operator);
  assert.deepEqual(new Set(all.map(({ tenant }) => tenant)), new Set(['acme', 'globex']));
  assert.ok(all.every(({ adapter }) => adapter === 'base' || adapter?.startsWith('sha256:')));
  const tuned = all.find(({ training_tokens }) => training_tokens > 0);
  assert.equal(tuned?.adapter, platform.registry.resolve('acme', 'acme/fine-tuned@1').digest);
  assert.deepEqual(await lines('?tenant=globex', inProject), []);
  assert.ok((await lines('?tenant=globex', operator)).every(({ tenant }) => tenant === 'globex'));
  assert.deepEqual(await lines('?to=2020-01-31', operator), []);
  for (const query of ['?group=colour', '?from=2026-02-30', '?from=2026-02-01&to=2026-01-01', '?colour=1']) {
    assert.equal((await get(query, operator)).status, 400, query);
  }
  const csv = await get('?group=tenant&format=csv', operator);
  assert.match(csv.headers.get('content-type') ?? '', /^text\/csv/);
  const text = await csv.text();
  assert.match(text, /^tenant,project,period,adapter,requests,.*\r\nacme,,,,4,.*,EUR\r\nglobex,,,,1,.*,EUR\r\n$/);
  const printed = await run(['usage', 'bill', '--group', 'tenant', '--csv'], { home });
  assert.equal(printed.stdout, text, 'the command line says the same');
  assert.match((await run(['usage', 'bill', 'globex'], { home })).stdout, /globex .* EUR/);
});
