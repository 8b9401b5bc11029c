/** What becomes of a loaded name when its version is removed from the registry, by another process as the command line is one. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { importAdapter, removeAdapter } from '../../src/app/index.ts';
import { writeRandomAdapter } from '../support/tiny-adapters.ts';
import { tinySites } from '../support/tiny-base.ts';
import { startTinyServer, type TinyServer } from '../support/tiny-server.ts';

const SHAPE = { rank: 4, targets: ['q_proj'] } as const;

let server: TinyServer;
before(async () => {
  server = await startTinyServer({ adapters: { 'acme/reply': { seed: 1, ...SHAPE } } });
});
after(() => server?.[Symbol.asyncDispose]());

async function call(path: string, body?: object): Promise<Response> {
  return fetch(`${server.url}/v1/${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { Authorization: `Bearer ${server.keyOf('acme')}` },
    ...(body && { body: JSON.stringify(body) }),
  });
}

const list = async <T>(path: string): Promise<T[]> => ((await (await call(path)).json()) as { data: T[] }).data;
const modelIds = async (): Promise<string[]> => (await list<{ id: string }>('models')).map(({ id }) => id);

test('a name whose version is removed leaves the lists, and its adapter the memory; then it can be given again', async () => {
  const load = (lora_path: string): Promise<Response> =>
    call('load_lora_adapter', { lora_name: 'helper', lora_path: lora_path });
  assert.equal((await load('acme/reply')).status, 200);
  assert.ok((await modelIds()).includes('helper'));
  const residents = (): Promise<{ names: string[]; pinned: boolean }[]> => list('lora_adapters');
  assert.deepEqual(
    (await residents()).map(({ names, pinned }) => ({ names, pinned })),
    [{ names: ['helper'], pinned: true }],
  );
  await removeAdapter(server.config, 'acme/reply@1');
  assert.ok(!(await modelIds()).includes('helper'));
  assert.equal((await call('models/helper')).status, 404);
  const asked = await call('chat/completions', { model: 'helper', messages: [{ role: 'user', content: 'hello' }] });
  assert.equal(asked.status, 404);
  assert.deepEqual(await residents(), []);
  const folder = server.adapterPath('acme-other');
  writeRandomAdapter(folder, tinySites(), { seed: 2, ...SHAPE });
  await importAdapter(server.config, folder, 'acme/other', 'tiny');
  assert.equal((await load('acme/other')).status, 200);
  assert.ok((await modelIds()).includes('helper'));
  await removeAdapter(server.config, 'acme/other@1');
  assert.equal((await load('acme/nothing')).status, 404);
  assert.deepEqual(await residents(), []);
});
