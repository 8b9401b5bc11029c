/** Which adapter answers: by name, by task, by a name that a tenant has loaded; and never somebody else’s. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import OpenAI from 'openai';
import { ask, clientOf, refusal, server, TASKS, TENANTS, textOf, versions } from './serving-harness.ts';

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
