/** `/v1/classify`, asked of a real server beside chats: labels of a plain pass, and what a classifier and others refuse. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { compileAdapter, readArtefact, spanHooks } from '../../../src/adapters/index.ts';
import { loadBase } from '../../../src/model/index.ts';
import { assertClose } from '../../../src/numeric/compare.ts';
import { loadNativeKernels } from '../../../src/numeric/index.ts';
import { openChatRenderer, type ChatRenderer } from '../../../src/text/index.ts';
import { classificationList } from '../../../src/http/wire/classification.ts';
import { modelList } from '../../../src/http/wire/models.ts';
import { forwardHidden } from '../../support/forward-logits.ts';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';

const LABELS = ['pome', 'stone', 'berry'];
let server: TinyServer;
let renderer: ChatRenderer;
before(async () => {
  server = await startTinyServer({
    contextLength: 128,
    adapters: {
      'acme/fruit': { seed: 1, rank: 4, targets: ['q_proj', 'v_proj'], labels: LABELS },
      // The same numbers, but what they were trained on is known.
      'acme/texts': { seed: 1, rank: 4, targets: ['q_proj', 'v_proj'], labels: LABELS, reads: 'text' },
      'acme/talks': { seed: 1, rank: 4, targets: ['q_proj', 'v_proj'], labels: LABELS, reads: 'messages' },
      'acme/reply': { seed: 2, rank: 8, targets: 'all-linear' },
      'globex/fruit': { seed: 3, rank: 2, targets: ['o_proj'], labels: ['a', 'b'] },
    },
  });
  renderer = openChatRenderer(server.basePath);
});
after(() => server?.[Symbol.asyncDispose]());

function post(path: string, body: object): Promise<Response> {
  const headers = { Authorization: `Bearer ${server.keyOf('acme')}`, 'Content-Type': 'application/json' };
  return fetch(`${server.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
}

async function classify(body: object): Promise<z.output<typeof classificationList>> {
  const response = await post('/v1/classify', { model: 'acme/fruit', ...body });
  const json: unknown = await response.json();
  assert.equal(response.status, 200, JSON.stringify(json));
  return classificationList.strict().parse(json);
}

const errorSchema = z.object({ error: z.object({ message: z.string(), param: z.string().nullable() }) });

async function refused(path: string, body: object, status = 400): Promise<z.output<typeof errorSchema>['error']> {
  const response = await post(path, { model: 'acme/fruit', ...body });
  assert.equal(response.status, status);
  return errorSchema.parse(await response.json()).error;
}

test('labels and probabilities are those of a plain pass, for texts, token ids and messages', async () => {
  const base = loadBase(server.basePath, 'tiny', loadNativeKernels({ threads: 1 }), 'bf16');
  const { head, ...adapter } = compileAdapter(readArtefact(server.adapterPath('acme/fruit'), base), base);
  assert.ok(head?.kind === 'classes');
  const plain = (ids: readonly number[]): Float64Array => {
    const { hiddenSize: D } = base.config;
    const hidden = forwardHidden(base, [...ids], spanHooks([{ begin: 0, end: ids.length, adapter }]));
    const last = Float64Array.from(hidden.subarray((ids.length - 1) * D, ids.length * D));
    const powers = Float64Array.from(LABELS, (_, label) =>
      Math.exp(last.reduce((sum, x, d) => sum + x * head.score_CD.data[label * D + d], 0)),
    );
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / sum);
  };
  const messages = [{ role: 'user', content: 'is a plum a berry?' }] as const;
  const inputs = ['pear', 'a quince is a fruit', '日本'];
  const ids = inputs.map((input) => [...renderer.renderText(input)]);
  const chat = [...renderer.renderPrompt(messages, { addGenerationPrompt: false })];
  const [texts, tokens, talk] = await Promise.all([
    classify({ input: inputs }),
    classify({ input: ids }),
    classify({ messages }),
  ]);
  for (const [n, { index, label, probs, num_classes }] of [...texts.data, ...talk.data].entries()) {
    const expected = plain(n < inputs.length ? ids[n] : chat);
    // The kernels of a bf16 base may round a layer's input.
    assertClose(probs, expected, 2e-2, `input ${n}`);
    assert.equal(label, LABELS[probs.indexOf(Math.max(...probs))]);
    assert.deepEqual([index, num_classes], [n < inputs.length ? n : 0, 3]);
  }
  assert.deepEqual(tokens.data, texts.data);
  assert.match(texts.id, /^classify-/);
  const numTokens = ids.flat().length;
  assert.equal(texts.model, 'acme/fruit@1');
  assert.deepEqual(texts.usage, { prompt_tokens: numTokens, total_tokens: numTokens, completion_tokens: 0 });
});

test('a classifier gets what it was trained on, where that is known', async () => {
  const messages = [{ role: 'user', content: 'pear' }];
  const ids = [...renderer.renderText('pear')];
  const [text, talk] = [(await classify({ input: 'pear' })).data, (await classify({ messages })).data];
  assert.notDeepEqual(text, talk);
  const talks = 'acme/talks';
  assert.deepEqual((await classify({ model: talks, messages })).data, talk);
  assert.deepEqual((await classify({ model: talks, input: 'pear' })).data, talk, 'a text is what a user says');
  assert.deepEqual((await classify({ model: talks, input: ids })).data, text, 'token ids are taken as they are');
  assert.deepEqual((await classify({ model: 'acme/texts', input: 'pear' })).data, text);
  const { message, param } = await refused('/v1/classify', { model: 'acme/texts', messages });
  assert.match(message, /trained on texts.*send input, not messages/);
  assert.equal(param, 'messages');

  const response = await fetch(`${server.url}/v1/models`, {
    headers: { Authorization: `Bearer ${server.keyOf('acme')}` },
  });
  const { data } = modelList.parse(await response.json());
  const classes = Object.fromEntries(data.map((model) => [model.id, model.classes]));
  assert.deepEqual(classes, {
    tiny: null,
    'acme/fruit@1': { labels: LABELS, reads: null },
    'acme/reply@1': null,
    'acme/talks@1': { labels: LABELS, reads: 'messages' },
    'acme/texts@1': { labels: LABELS, reads: 'text' },
  });
});

test('many inputs beside chats of another adapter have the bits that each has alone', async () => {
  const inputs = Array.from({ length: 40 }, (_, n) => 'plum '.repeat(1 + (n % 7)) + n);
  const chat = { messages: [{ role: 'user', content: 'pear' }], max_tokens: 20, temperature: 0 };
  const [{ data }, answer] = await Promise.all([
    classify({ input: inputs }),
    post('/v1/chat/completions', { ...chat, model: 'acme/reply' }),
  ]);
  assert.equal(answer.status, 200);
  for (const n of [0, 13, 39]) {
    const [alone] = (await classify({ input: inputs[n] })).data;
    assert.deepEqual({ ...alone, index: n }, data[n]);
  }
  assert.ok(new Set(data.map(({ probs }) => probs.join())).size > 30, 'inputs are told apart');
});

test('a classifier answers no chat, other adapters and the base have no labels', async () => {
  const messages = [{ role: 'user', content: 'pear' }];
  for (const [path, body] of [
    ['/v1/chat/completions', { messages }],
    ['/v1/chat/completions', { messages, stream: true }],
    ['/v1/completions', { prompt: 'pear' }],
    ['/v1/completions', { prompt: 'pear', max_tokens: 0, echo: true, logprobs: 1 }],
  ] as const) {
    const { message, param } = await refused(path, body);
    assert.match(message, /is a classifier.*POST \/v1\/classify/);
    assert.equal(param, 'model');
  }
  for (const model of ['acme/reply', 'tiny']) {
    const { message, param } = await refused('/v1/classify', { model, input: 'pear' });
    assert.match(message, /no classifier/);
    assert.equal(param, 'model');
  }
  await refused('/v1/classify', { model: 'globex/fruit', input: 'pear' }, 404);
  const embedded = await post('/v1/embeddings', { model: 'acme/fruit', input: 'pear' });
  assert.equal(embedded.status, 200, 'its hidden states are vectors like any other’s');
});

test('an input that cannot be is named', async () => {
  const messages = [{ role: 'user', content: 'pear' }];
  for (const [body, param] of [
    [{}, 'input'],
    [{ input: 'pear', messages }, 'input'],
    [{ input: ['a', ''] }, 'input[1]'],
    [{ input: 'word '.repeat(400) }, 'input'],
    [{ input: [9999] }, 'input'],
    [{ messages: [{ role: 'user', content: 'word '.repeat(400) }] }, 'messages'],
  ] as const) {
    assert.equal((await refused('/v1/classify', body)).param, param, JSON.stringify(body).slice(0, 60));
  }
  assert.deepEqual(server.errors, []);
});
