/** Several adapters in one request, asked by the official client of a real server. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compileAdapter, composeAdapters, readArtefact, spanHooks } from '../../../src/adapters/index.ts';
import {
  ask,
  assertNoErrors,
  base,
  chat,
  client,
  plainLogprobs,
  refusal,
  renderer,
  server,
  text,
  type TextBody,
} from './surface-harness.ts';

describe('a mix of adapters', () => {
  const parts = [
    { id: 'acme/triage', weight: 0.5 },
    { id: 'acme/reply@1', weight: -0.75 },
  ];

  test('adds up their changes, names them, and answers the same in any order', async () => {
    const prompt = 'The quince';
    const ids = [...renderer.renderText(prompt)];
    const load = (name: string) => compileAdapter(readArtefact(server.adapterPath(name), base), base);
    const adapter = composeAdapters([
      { adapter: load('acme/triage'), weight: 0.5 },
      { adapter: load('acme/reply'), weight: -0.75 },
    ]);
    const expected = plainLogprobs(ids, spanHooks([{ begin: 0, end: ids.length, adapter }]));
    const body = text(prompt, { echo: true, logprobs: 0, max_tokens: 0, adapters: parts });
    const { data, response } = await client.completions.create(body).withResponse();
    const told = data.choices[0].logprobs?.token_logprobs ?? [];
    for (let n = 1; n < ids.length; n++) assert.ok(Math.abs(told[n] - expected[n - 1][ids[n]]) < 1e-3, `token ${n}`);
    assert.ok(data.model.includes('acme/triage@1*0.5') && data.model.includes('acme/reply@1*-0.75'), data.model);
    assert.match(data.system_fingerprint ?? '', /^sha256:[0-9a-f]{64}$/);
    assert.equal(response.headers.get('x-adapter-digest'), data.system_fingerprint);
    const turned = await client.completions.create({ ...body, adapters: parts.toReversed() } as TextBody);
    assert.deepEqual(
      [turned.choices, turned.model, turned.system_fingerprint],
      [data.choices, data.model, data.system_fingerprint],
    );
  });

  test('one part with weight 1 answers as the adapter; mixes, adapters and the base share a batch', async () => {
    const bodies = [
      ask('pear'),
      ask('pear', { model: 'acme/reply' }),
      ask('pear', { adapters: [{ id: 'acme/reply' }] }),
      ask('pear', { adapters: parts }),
      ask('pear', { adapters: [{ id: 'acme/reply', weight: 0.5 }] }),
      ask('pear', { adapters: [{ id: 'acme/triage' }, { id: 'acme/reply' }] }),
    ];
    const alone: unknown[] = [];
    for (const body of bodies) alone.push((await chat(body)).message.content);
    assert.deepEqual(await Promise.all(bodies.map(async (body) => (await chat(body)).message.content)), alone);
    assert.equal(alone[2], alone[1]);
    assert.equal(new Set(alone).size, bodies.length - 1);
  });

  test('what cannot be mixed is refused by name, and a foreign part is the same 404', async () => {
    for (const [more, status, param] of [
      [{ model: 'acme/reply', adapters: parts }, 400, 'model'],
      [{ adapters: [...parts, { id: 'acme/triage@1' }] }, 400, 'adapters[2].id'],
      [{ adapters: [{ id: 'tiny' }] }, 400, 'adapters[0].id'],
      [{ adapters: [] }, 400, 'adapters'],
      [{ adapters: parts, metadata: { task: 'reply' } }, 400, 'adapters'],
      [{ adapters: [{ id: 'globex/label' }] }, 404, 'model'],
      [{ adapters: [{ id: 'acme/none' }] }, 404, 'model'],
      [{ lora: [{ id: 0, scale: 1 }] }, 400, 'lora'],
    ] as const) {
      const error = await refusal(chat(ask('pear', more)));
      assert.deepEqual([error.status, error.param], [status, param], error.message);
    }
  });
});

test('nothing of all this was an error of the server', assertNoErrors);
