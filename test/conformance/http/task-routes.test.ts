/** Who answers a task: splits between versions, promotions and rollbacks, by the API of a real server. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { importAdapter } from '../../../src/app/index.ts';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';
import { writeRandomAdapter } from '../../support/tiny-adapters.ts';
import { tinySites } from '../../support/tiny-base.ts';

let server: TinyServer;

before(async () => {
  server = await startTinyServer({
    adapters: {
      'acme/reply': { seed: 1, rank: 2, targets: ['q_proj'] },
      'globex/reply': { seed: 3, rank: 2, targets: ['o_proj'] },
    },
    serve: { jobs: 0 },
  });
  const directory = `${server.adapterPath('acme/reply')}-2`;
  writeRandomAdapter(directory, tinySites(), { seed: 2, rank: 2, targets: ['q_proj'] });
  await importAdapter(server.config, directory, 'acme/reply', 'tiny');
});
after(() => server?.[Symbol.asyncDispose]());

async function call(method: string, path: string, body?: unknown, tenant = 'acme') {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { Authorization: `Bearer ${server.keyOf(tenant)}`, 'Content-Type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

/** The version that answers the task. */
async function versionFor(session: { user?: string; header?: string }): Promise<string> {
  const response = await fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${server.keyOf('acme')}`,
      'Content-Type': 'application/json',
      ...(session.header !== undefined && { 'X-Session-Id': session.header }),
    },
    body: JSON.stringify({
      model: 'tiny',
      metadata: { task: 'reply' },
      messages: [{ role: 'user', content: 'x' }],
      max_completion_tokens: 1,
      ...(session.user !== undefined && { user: session.user }),
    }),
  });
  assert.equal(response.status, 200);
  return ((await response.json()) as { model: string }).model;
}

const split = (...parts: [version: string, weight: number][]) => ({
  split: parts.map(([version, weight]) => ({ version, weight })),
});

test('a split sends sessions to both versions, and each always to its own', async () => {
  const set = await call('POST', '/api/routes/reply', split(['latest', 50], ['1', 50]));
  assert.equal(set.status, 200);
  assert.deepEqual(set.body, {
    object: 'task_route',
    task: 'reply',
    latest: 'acme/reply@2',
    split: [
      { version: 'latest', weight: 50, model: 'acme/reply@2' },
      { version: '1', weight: 50, model: 'acme/reply@1' },
    ],
    gate: null,
    canary: null,
    shadow: null,
  });
  const users = Array.from({ length: 24 }, (_, n) => `user-${n}`);
  const first = await Promise.all(users.map((user) => versionFor({ user })));
  assert.deepEqual(await Promise.all(users.map((user) => versionFor({ user }))), first);
  assert.deepEqual([...new Set(first)].toSorted(), ['acme/reply@1', 'acme/reply@2']);
  const byHeader = await Promise.all(users.map((header) => versionFor({ header, user: 'somebody else' })));
  assert.deepEqual(byHeader, first, 'the header comes before the user');
  const byKey = await Promise.all(Array.from({ length: 6 }, () => versionFor({})));
  assert.equal(new Set(byKey).size, 1, 'a key is a session as well');
});

test('a rollback and a promotion hold for the next request, in a split too', async () => {
  await call('POST', '/api/routes/reply', split(['latest', 1]));
  assert.equal(await versionFor({}), 'acme/reply@2');
  const rolledBack = await call('POST', '/api/routes/reply/rollback', {});
  assert.equal(rolledBack.body['latest'], 'acme/reply@1');
  assert.equal(await versionFor({}), 'acme/reply@1');
  assert.equal((await call('POST', '/api/routes/reply/promote', { version: 2 })).status, 200);
  assert.equal(await versionFor({}), 'acme/reply@2');
  assert.equal((await call('POST', '/api/routes/reply', split())).status, 200);
  assert.equal(await versionFor({}), 'acme/reply@2');
  assert.equal((await call('POST', '/api/routes/reply/rollback', { alias: 'stable' })).status, 400);
});

test('a tenant sees and changes its own routes only', async () => {
  const mine = (await call('GET', '/api/routes')).body['data'] as { task: string }[];
  assert.deepEqual(
    mine.map(({ task }) => task),
    ['reply'],
  );
  const theirs = await call('GET', '/api/routes/reply', undefined, 'globex');
  assert.equal(theirs.body['latest'], 'globex/reply@1');
  assert.equal((await call('POST', '/api/routes/reply/promote', { version: 2 }, 'globex')).status, 404);
});

test('what no split can be is refused by name', async () => {
  const cases: [unknown, RegExp][] = [
    [split(['9', 1]), /has no version or alias "9"/],
    [split(['1', 1], ['1', 2]), /1 is there twice/],
    [{ split: [{ version: '1', weight: 0 }] }, /split\[0\]\.weight/],
    [{}, /split is missing/],
    [{ ...split(['1', 1]), colour: 'red' }, /colour is not a field/],
  ];
  for (const [body, message] of cases) {
    const answer = await call('POST', '/api/routes/reply', body);
    const { error } = answer.body as { error: { message: string } };
    assert.equal(answer.status, 400, error.message);
    assert.match(error.message, message);
  }
  for (const task of ['none', 'NO NAME', '..']) {
    const path = `/api/routes/${encodeURIComponent(task)}`;
    // A path of dots is another path.
    if (task !== '..') assert.equal((await call('POST', path, split())).status, 404, task);
  }
});
