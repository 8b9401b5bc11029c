/** Gates, canaries and shadows over HTTP, on the real server with a tiny base. */
import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { importAdapter } from '../../../src/app/index.ts';
import { writeRandomAdapter } from '../../support/tiny-adapters.ts';
import { tinySites } from '../../support/tiny-base.ts';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';
import { chatLines } from '../../support/tuning-data.ts';

const SHAPE = { rank: 2, targets: ['q_proj'] } as const;
const TASKS = ['gated', 'canary', 'scored', 'grown', 'shadowed', 'split'];
let server: TinyServer;
let writerKey: string;

before(async () => {
  server = await startTinyServer({
    adapters: Object.fromEntries(TASKS.map((task) => [`acme/${task}`, { seed: 1, ...SHAPE }])),
    serve: { jobs: 0 },
  });
  writerKey = server.platform.keys.create({ tenant: 'acme', role: 'writer' }).secret;
  for (const [index, task] of TASKS.entries()) {
    const directory = `${server.adapterPath(`acme/${task}`)}-2`;
    writeRandomAdapter(directory, tinySites(), { seed: 20 + index, ...SHAPE });
    await importAdapter(server.config, directory, `acme/${task}`, 'tiny');
    server.platform.registry.rollback('acme', task);
  }
});
after(() => server?.[Symbol.asyncDispose]());

type Body = Record<string, unknown>;

async function call(method: string, path: string, body?: unknown, key = server.keyOf('acme')) {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Body };
}

async function done(...asked: Parameters<typeof call>): Promise<Body> {
  const { status, body } = await call(...asked);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

async function refused(...asked: Parameters<typeof call>): Promise<{ status: number; code: string; message: string }> {
  const { status, body } = await call(...asked);
  const { error } = body as { error: { code: string; message: string } };
  return { status, ...error };
}

/** Asks a task, as a user; the version that answered, or the status of the refusal. */
async function ask(task: string, user: string, requestId = `${task}-${user}`): Promise<string> {
  const response = await fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${server.keyOf('acme')}`, 'X-Request-Id': requestId },
    body: JSON.stringify({
      model: 'tiny',
      metadata: { task },
      user,
      messages: [{ role: 'user', content: `hello ${user}` }],
      temperature: 0,
      max_completion_tokens: 4,
    }),
  });
  const body = (await response.json()) as { model?: string };
  return response.ok ? (body.model ?? '') : String(response.status);
}

const kindsOf = async (task: string): Promise<string[]> =>
  ((await done('GET', `/api/routes/${task}/events`))['data'] as { kind: string }[]).map(({ kind }) => kind);

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await isTrue()) return;
    await sleep(25);
  }
  assert.fail('it did not come to be');
}

test('a promotion that the gate’s data speaks against is refused with the scores; an admin may pass by, which is told', async () => {
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: server.keyOf('acme'), maxRetries: 0 });
  const file = await client.files.create({
    file: await toFile(Buffer.from(chatLines(12)), 'held-out.jsonl'),
    purpose: 'fine-tune',
  });
  const gate = { file: file.id, metric: 'loss' };
  assert.match((await refused('POST', '/api/routes/gated/gate', gate)).message, /a threshold, or a tolerance/);
  assert.match(
    (await refused('POST', '/api/routes/gated/gate', { ...gate, metric: 'beauty', threshold: 1 })).message,
    /metric must be one of loss/,
  );
  const set = await done('POST', '/api/routes/gated/gate', { ...gate, threshold: 0.5, tolerance: 0.1 });
  assert.deepEqual([set['metric'], set['filename'], set['threshold']], ['loss', 'held-out.jsonl', 0.5]);
  // The gate has its own copy.
  await client.files.delete(file.id);
  const promote = (more: Body = {}, key?: string) =>
    refused('POST', '/api/routes/gated/promote', { version: 2, ...more }, key);
  const first = await promote();
  assert.deepEqual([first.status, first.code], [409, 'promotion_refused']);
  assert.match(
    first.message,
    /acme\/gated@2 may not be promoted: loss \d.*at most 0\.5 is asked, which it is not; the version that answers has \d/,
  );
  assert.match((await refused('POST', '/api/routes/gated/canary', { version: 2, share: 0.1 })).message, /loss/);
  assert.equal((await done('GET', '/api/routes/gated'))['latest'], 'acme/gated@1');
  const { metrics } = server.platform.registry.resolve('acme', 'acme/gated@2');
  assert.ok(metrics['gate.loss'] > 1, 'the score stays with the version');
  assert.equal((await promote({ gate: false }, writerKey)).code, 'role_insufficient');
  await done('POST', '/api/routes/gated/promote', { version: 2, alias: 'beta' });
  await done('POST', '/api/routes/gated', { split: [{ version: 'beta', weight: 1 }] });
  await done('POST', '/api/routes/gated/promote', { version: 1, alias: 'beta', gate: false });
  assert.equal((await promote({ alias: 'beta' })).code, 'promotion_refused', 'an alias that answers is guarded too');
  await done('POST', '/api/routes/gated', { split: [] });
  assert.equal(
    (await done('POST', '/api/routes/gated/promote', { version: 2, gate: false }))['latest'],
    'acme/gated@2',
  );
  await done('POST', '/api/routes/gated/rollback', {});
  await done('DELETE', '/api/routes/gated/gate');
  assert.equal((await done('POST', '/api/routes/gated/promote', { version: 2 }))['latest'], 'acme/gated@2');
  const kinds = await kindsOf('gated');
  assert.deepEqual(kinds, [
    'promoted',
    'gate-removed',
    'promoted-without-gate',
    'promotion-refused',
    'promoted-without-gate',
    'promoted',
    'promotion-refused',
    'promotion-refused',
    'gate-set',
  ]);
});

test('a gate that the version passes lets it through', async () => {
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: server.keyOf('acme'), maxRetries: 0 });
  const file = await client.files.create({
    file: await toFile(Buffer.from(chatLines(12)), 'x.jsonl'),
    purpose: 'fine-tune',
  });
  await done('POST', '/api/routes/gated/rollback', {});
  await done('POST', '/api/routes/gated/gate', { file: file.id, metric: 'loss', threshold: 1000 });
  assert.equal((await done('POST', '/api/routes/gated/promote', { version: 2 }))['latest'], 'acme/gated@2');
});

test('a split of 90 to 10 is kept by real requests, session by session', async () => {
  await done('POST', '/api/routes/split', {
    split: [
      { version: '1', weight: 90 },
      { version: '2', weight: 10 },
    ],
  });
  const users = Array.from({ length: 300 }, (_, n) => `user-${n}`);
  const askAll = async (): Promise<string[]> => {
    const answers: string[] = [];
    for (let n = 0; n < users.length; n += 20) {
      answers.push(...(await Promise.all(users.slice(n, n + 20).map((user) => ask('split', user)))));
    }
    return answers;
  };
  const first = await askAll();
  const numSecond = first.filter((model) => model === 'acme/split@2').length;
  assert.equal(first.filter((model) => model === 'acme/split@1').length, 300 - numSecond);
  assert.ok(Math.abs(numSecond - 30) < 4 * Math.sqrt(27), `${numSecond} of 300: four standard deviations`);
  assert.deepEqual(await askAll(), first);
});

test('a canary whose requests fail is rolled back by the rule, and the next request is answered by the others', async () => {
  // Its files are damaged before they were ever read.
  const { registry } = server.platform;
  const version = registry.resolve('acme', 'acme/canary@2');
  const weights = version.files.find(({ name }) => name === 'adapter_model.safetensors');
  assert.ok(weights);
  const hex = weights.digest.slice('sha256:'.length);
  const blob = `${server.config.home}/blobs/${hex.slice(0, 2)}/${hex}`;
  assert.ok(existsSync(blob));
  rmSync(blob);
  await done('POST', '/api/routes/canary/canary', { version: 2, share: 0.5 });
  assert.equal((await refused('POST', '/api/routes/canary/canary', { version: 2, share: 0.5 })).status, 400);
  const answers: string[] = [];
  for (let n = 0; n < 60; n++) answers.push(await ask('canary', `user-${n}`));
  const numFailed = answers.filter((model) => model !== 'acme/canary@1').length;
  assert.ok(numFailed >= 5 && numFailed < 25, `${numFailed} of 60 requests failed`);
  const report = await done('GET', '/api/routes/canary/canary');
  assert.deepEqual([report['status'], report['share']], ['rolled-back', 0]);
  assert.match(
    String(report['reason']),
    /^\d+ of \d+ requests failed, of the others 0 of \d+: more than 0\.02 above them$/,
  );
  assert.equal((report['canary'] as Body)['errors'], numFailed);
  assert.equal((await done('GET', '/api/routes/canary'))['canary'], null);
  assert.deepEqual((await kindsOf('canary')).slice(0, 2), ['canary-rolled-back', 'canary-started']);
});

test('a canary whose scores fall is rolled back; scores are of answers that were given, to their own tenant', async () => {
  await done('POST', '/api/routes/scored/canary', { version: 2, share: 0.5, max_score_drop: 0.2 });
  const users = Array.from({ length: 60 }, (_, n) => `user-${n}`);
  const models = new Map<string, string>();
  for (const user of users) models.set(user, await ask('scored', user));
  assert.deepEqual([...new Set(models.values())].toSorted(), ['acme/scored@1', 'acme/scored@2']);
  assert.equal((await refused('POST', '/api/feedback', { request_id: 'nobody', score: 1 })).code, 'answer_not_found');
  assert.equal((await refused('POST', '/api/feedback', { request_id: 'scored-user-1', score: 2 })).status, 400);
  let numScored = 0;
  for (const [user, model] of models) {
    await done('POST', '/api/feedback', { request_id: `scored-${user}`, score: model.endsWith('@2') ? 0.1 : 0.9 });
    numScored++;
    if ((await done('GET', '/api/routes/scored'))['canary'] === null) break;
  }
  assert.ok(numScored < 60, 'it is rolled back before all have been scored');
  assert.match(String((await done('GET', '/api/routes/scored/canary'))['reason']), /the mean of its scores is 0\.100/);
  for (const user of users.slice(0, 10)) assert.equal(await ask('scored', user), 'acme/scored@1');
});

test('a canary that does well grows and is promoted by itself', async () => {
  const settings = { version: 2, share: 0.3, steps: [0.9], promote: true, min_requests: 8 };
  await done('POST', '/api/routes/grown/canary', settings);
  let n = 0;
  await until(async () => {
    await ask('grown', `user-${n++}`);
    return (await done('GET', '/api/routes/grown'))['latest'] === 'acme/grown@2';
  });
  assert.equal((await done('GET', '/api/routes/grown/canary'))['status'], 'promoted');
  assert.deepEqual(await kindsOf('grown'), [
    'canary-promoted',
    'promoted',
    'canary-passed',
    'canary-grown',
    'canary-started',
  ]);
  await done('POST', '/api/routes/grown/rollback', {});
  assert.equal(await ask('grown', 'user-0'), 'acme/grown@1');
});

test('a rollback ends a canary', async () => {
  await done('POST', '/api/routes/grown/promote', { version: 2 });
  await done('POST', '/api/routes/grown/canary', { version: 1, share: 1 });
  assert.equal(await ask('grown', 'anybody'), 'acme/grown@1');
  await done('POST', '/api/routes/grown/rollback', {});
  assert.equal((await done('GET', '/api/routes/grown/canary'))['status'], 'stopped');
});

test('a shadow answers beside, is compared, and costs its tenant nothing', async () => {
  await done('POST', '/api/routes/shadowed/shadow', { version: 2 });
  server.platform.usage.flush();
  const usage = () => {
    server.platform.usage.flush();
    return server.platform.usage.read('acme', '0000', '9999').reduce((sum, { requests }) => sum + requests, 0);
  };
  const before = usage();
  const users = Array.from({ length: 12 }, (_, n) => `user-${n}`);
  for (const user of users) assert.equal(await ask('shadowed', user), 'acme/shadowed@1');
  let report: Body = {};
  await until(async () => {
    report = await done('GET', '/api/routes/shadowed/shadow');
    return Number(report['compared']) + Number(report['skipped']) >= 12;
  });
  assert.equal(usage() - before, 12);
  const { compared, failed } = report as Record<string, number>;
  assert.ok(compared > 0 && failed === 0, JSON.stringify(report));
  assert.ok((report['equal_share'] as number) < 1, 'the two versions differ');
  assert.equal((report['primary'] as Body)['tokens'], 4);
  assert.equal((report['shadow'] as Body)['tokens'], 4);
  const told = report['least_similar'] as { request_id: string }[];
  assert.ok(told.every(({ request_id: id }) => users.some((user) => id === `shadowed-${user}`)));
  const ended = await done('DELETE', '/api/routes/shadowed/shadow');
  assert.ok(ended['ended_at'] !== null);
  assert.equal((await refused('DELETE', '/api/routes/shadowed/shadow')).code, 'delivery_not_found');
});
