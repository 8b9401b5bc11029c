/** Every endpoint and field, asked by the official client of a real server: what is accepted has effect. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { compileAdapter, composeAdapters, readArtefact, spanHooks } from '../../../src/adapters/index.ts';
import { loadBase, type BaseModel } from '../../../src/model/index.ts';
import { assertClose } from '../../../src/numeric/compare.ts';
import { loadNativeKernels, type Floats } from '../../../src/numeric/index.ts';
import { openChatRenderer, type ChatRenderer } from '../../../src/text/index.ts';
import { forwardHidden, forwardLogits } from '../../support/forward-logits.ts';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';

type ChatBody = OpenAI.ChatCompletionCreateParamsNonStreaming;
type TextBody = OpenAI.CompletionCreateParamsNonStreaming;

let server: TinyServer;
let client: OpenAI;
let base: BaseModel;
let renderer: ChatRenderer;

before(async () => {
  server = await startTinyServer({
    contextLength: 256,
    adapters: {
      'acme/triage': { seed: 1, rank: 4, targets: ['q_proj', 'v_proj'] },
      'acme/reply': { seed: 2, rank: 8, targets: 'all-linear' },
      'globex/label': { seed: 3, rank: 2, targets: ['o_proj'] },
    },
  });
  client = clientOf('acme');
  base = loadBase(server.basePath, 'tiny', loadNativeKernels({ threads: 1 }), 'bf16');
  renderer = openChatRenderer(server.basePath);
});
after(() => server?.[Symbol.asyncDispose]());

function clientOf(tenant: string): OpenAI {
  return new OpenAI({ apiKey: server.keyOf(tenant), baseURL: `${server.url}/v1`, maxRetries: 0 });
}

/** Fields that OpenAI's types do not have. */
type More = Readonly<Record<string, unknown>>;

function ask(content: string, more: Partial<ChatBody> & More = {}): ChatBody {
  return { model: 'tiny', messages: [{ role: 'user', content }], temperature: 0, max_completion_tokens: 12, ...more };
}

async function chat(body: ChatBody): Promise<OpenAI.ChatCompletion.Choice> {
  return (await client.chat.completions.create(body)).choices[0];
}

function text(prompt: TextBody['prompt'], more: Partial<TextBody> & More = {}): TextBody {
  return { model: 'tiny', prompt, temperature: 0, max_tokens: 8, ...more };
}

async function complete(body: TextBody): Promise<OpenAI.CompletionChoice> {
  return (await client.completions.create(body)).choices[0];
}

async function refusal(asked: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  const error = await asked.then(
    () => assert.fail('the request was answered'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof OpenAI.APIError, String(error));
  return error;
}

function logSoftmax(logits_V: Floats): Float64Array {
  const logits = Float64Array.from(logits_V);
  const max = logits.reduce((a, b) => Math.max(a, b));
  const logSum = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0));
  return logits.map((logit) => logit - max - logSum);
}

/** Log softmax after each token of a sequence. */
function plainLogprobs(tokenIds: readonly number[], hooks = spanHooks([])): Float64Array[] {
  const { vocabSize: V } = base.config;
  const [logits] = forwardLogits(base, [tokenIds], hooks);
  return tokenIds.map((_, n) => logSoftmax(logits.subarray(n * V, (n + 1) * V)));
}

const bytesOf = (id: number): number[] => [...renderer.tokenizer.tokenBytes(id)];

/** The one id whose bytes these are, among those that a position finds most probable. */
function idOf(bytes: readonly number[] | null | undefined, logprobs: Float64Array): number {
  const order = [...logprobs.keys()].toSorted((a, b) => logprobs[b] - logprobs[a]);
  return order.find((id) => bytesOf(id).join() === bytes?.join()) ?? assert.fail('no token has these bytes');
}

describe('log-probabilities of a chat', () => {
  test('are those of a plain forward pass, with text and bytes of every token', async () => {
    const { message, logprobs, finish_reason } = await chat(ask('pear', { logprobs: true, top_logprobs: 3 }));
    const content = logprobs?.content ?? [];
    assert.equal(finish_reason === 'length' ? content.length : 12, 12);
    const ids = [...renderer.renderPrompt([{ role: 'user', content: 'pear' }])];
    const numPrompt = ids.length;
    for (const { bytes, top_logprobs } of content) {
      // Greedy: the token is the first of the most probable ones.
      assert.deepEqual(top_logprobs[0].bytes, bytes);
      ids.push(idOf(bytes, plainLogprobs(ids).at(-1) ?? new Float64Array()));
    }
    const expected = plainLogprobs(ids);
    for (const [n, { token, bytes, logprob, top_logprobs }] of content.entries()) {
      const row = expected[numPrompt + n - 1];
      assert.ok(Math.abs(logprob - row[ids[numPrompt + n]]) < 1e-3, `${n}: ${logprob}`);
      assert.equal(top_logprobs.length, 3);
      for (const other of top_logprobs) assert.ok(Math.abs(other.logprob - row[idOf(other.bytes, row)]) < 1e-3);
      const decoded = Buffer.from(bytes ?? []).toString();
      if (!decoded.includes('\ufffd')) assert.equal(token, decoded);
      else assert.match(token, /^(\\x[0-9a-f]{2})+$/);
    }
    const bytes = Buffer.concat(content.map((token) => Buffer.from(token.bytes ?? [])));
    assert.equal(bytes.toString(), message.content);
  });

  test('a stream tells the same, each token with the text that it completes', async () => {
    const body = ask('plum', { logprobs: true, top_logprobs: 2, temperature: 1, seed: 3, max_completion_tokens: 40 });
    const whole = await chat(body);
    const tokens: OpenAI.ChatCompletionTokenLogprob[] = [];
    let content = '';
    for await (const { choices } of await client.chat.completions.create({ ...body, stream: true })) {
      content += choices[0].delta.content ?? '';
      tokens.push(...(choices[0].logprobs?.content ?? []));
    }
    assert.equal(content, whole.message.content);
    assert.deepEqual(tokens, whole.logprobs?.content);
    const runner = client.chat.completions.stream({ ...body, stream: true });
    assert.deepEqual((await runner.finalChatCompletion()).choices[0].logprobs?.content, whole.logprobs?.content);
  });

  test('without them there are none; a stop string takes its tokens with it', async () => {
    assert.equal((await chat(ask('pear'))).logprobs, null);
    const { logprobs } = await chat(ask('pear', { logprobs: true }));
    assert.ok(logprobs?.content?.every(({ top_logprobs }) => top_logprobs.length === 0));
    const whole = (await chat(ask('pear', { max_completion_tokens: 30 }))).message.content ?? '';
    const stop = whole.slice(6, 8);
    const cut = await chat(ask('pear', { max_completion_tokens: 30, stop, logprobs: true }));
    assert.equal(cut.message.content, whole.slice(0, whole.indexOf(stop)));
    const said = Buffer.concat((cut.logprobs?.content ?? []).map(({ bytes }) => Buffer.from(bytes ?? [])));
    assert.ok(said.toString().startsWith(cut.message.content ?? ''));
    assert.ok(said.length < Buffer.byteLength(whole));
  });
});

describe('how tokens are chosen', () => {
  const logprobs = { logprobs: true, top_logprobs: 5 };
  const firstBytes = async (more: Partial<ChatBody> & More): Promise<string> => {
    const { logprobs: told } = await chat(ask('pear', { ...logprobs, max_completion_tokens: 1, ...more }));
    return (told?.content?.[0]?.bytes ?? []).join();
  };
  let ids: number[];
  let row: Float64Array;
  before(() => {
    ids = [...renderer.renderPrompt([{ role: 'user', content: 'pear' }])];
    row = plainLogprobs(ids).at(-1) ?? assert.fail();
  });
  const ranked = (): number[] => [...row.keys()].toSorted((a, b) => row[b] - row[a]);

  test('logit_bias', async () => {
    const [best, second] = ranked();
    assert.equal(await firstBytes({}), bytesOf(best).join());
    assert.equal(await firstBytes({ logit_bias: { [best]: -100 } }), bytesOf(second).join());
    const forced = ranked()[700];
    const { message, logprobs: told } = await chat(
      ask('pear', { ...logprobs, logit_bias: { [forced]: 100 }, max_completion_tokens: 4 }),
    );
    assert.ok(told?.content?.every(({ bytes }) => bytes?.join() === bytesOf(forced).join()));
    assert.equal(told?.content?.length, 4);
    assert.ok((message.content ?? '').length > 0);
    // They are told as the model gave them, without the bias.
    assert.ok(Math.abs((told?.content?.[0].logprob ?? 0) - row[forced]) < 1e-3);
    const foreign = await refusal(chat(ask('pear', { logit_bias: { 5000: 1 } })));
    assert.equal(foreign.param, 'logit_bias');
  });

  test('presence_penalty and frequency_penalty push away what was said, repetition_penalty what was asked too', async () => {
    const forced = ranked()[3];
    // The bias makes this token come for ever; a penalty that outweighs it lets it come once, or twice.
    const lead = row[ranked()[0]] - row[forced];
    const counts = async (more: Partial<ChatBody> & More): Promise<number> => {
      const bias = { [forced]: Math.min(100, lead + 1.5) };
      const { logprobs: told } = await chat(
        ask('pear', { ...logprobs, logit_bias: bias, max_completion_tokens: 2, ...more }),
      );
      return (told?.content ?? []).filter(({ bytes }) => bytes?.join() === bytesOf(forced).join()).length;
    };
    assert.ok((await counts({})) >= 1);
    const answers = await Promise.all(
      [
        {},
        { presence_penalty: 2 },
        { frequency_penalty: 2 },
        { frequency_penalty: -2 },
        { repetition_penalty: 100 },
      ].map(async (more) => (await chat(ask('pear', { max_completion_tokens: 40, ...more }))).message.content),
    );
    assert.ok(new Set(answers).size >= 4, 'each penalty changes a long answer');
  });

  test('top_k 1 and min_p 1 are greedy whatever the temperature; top_p 0 too', async () => {
    const greedy = (await chat(ask('pear'))).message.content;
    for (const more of [{ top_k: 1 }, { min_p: 1 }, { top_p: 0 }]) {
      assert.equal((await chat(ask('pear', { temperature: 2, seed: 5, ...more }))).message.content, greedy);
    }
    const free = (await chat(ask('pear', { temperature: 2, seed: 5 }))).message.content;
    assert.notEqual(free, greedy);
    assert.equal((await chat(ask('pear', { temperature: 2, seed: 5, top_k: 0 }))).message.content, free);
  });

  test('stop_token_ids, ignore_eos and min_tokens', async () => {
    const eos = renderer.tokenizer.eosIds[0];
    const stopped = await chat(ask('pear', { logit_bias: { [eos]: 100 } }));
    assert.deepEqual([stopped.message.content, stopped.finish_reason], ['', 'stop']);
    const later = await client.chat.completions.create(ask('pear', { logit_bias: { [eos]: 100 }, min_tokens: 5 }));
    assert.equal(later.choices[0].finish_reason, 'stop');
    assert.equal(later.usage?.completion_tokens, 5);
    const ignored = await client.chat.completions.create(ask('pear', { logit_bias: { [eos]: 100 }, ignore_eos: true }));
    assert.equal(ignored.choices[0].finish_reason, 'length');
    assert.equal(ignored.usage?.completion_tokens, 12);
    const other = ranked()[0];
    const byId = await chat(ask('pear', { stop_token_ids: [other] }));
    assert.deepEqual([byId.message.content, byId.finish_reason], ['', 'stop']);
    const foreign = await refusal(chat(ask('pear', { stop_token_ids: [99_999] })));
    assert.equal(foreign.param, 'stop_token_ids');
  });

  test('prediction is accepted and changes nothing', async () => {
    const prediction = { type: 'content' as const, content: 'anything' };
    assert.equal((await chat(ask('pear', { prediction }))).message.content, (await chat(ask('pear'))).message.content);
  });
});

describe('text completions', () => {
  test('a text is continued as it is, the same from its token ids', async () => {
    const tokenIds = [...renderer.renderText('The pear')];
    const [byText, byIds] = [
      await client.completions.create(text('The pear')),
      await client.completions.create(text(tokenIds)),
    ];
    assert.equal(byText.object, 'text_completion');
    assert.match(byText.id, /^cmpl-/);
    assert.equal(byText.choices[0].text, byIds.choices[0].text);
    assert.equal(byText.usage?.prompt_tokens, tokenIds.length);
    assert.notEqual(
      byText.choices[0].text,
      (await chat(ask('The pear', { max_completion_tokens: 8 }))).message.content,
    );
    const [first] = plainLogprobs(tokenIds)
      .slice(-1)
      .map((row) => row.indexOf(Math.max(...row)));
    assert.ok(byText.choices[0].text.startsWith(Buffer.from(bytesOf(first)).toString().replace('\ufffd', '')));
    assert.equal(
      (await client.completions.create({ model: 'tiny', prompt: 'x', temperature: 0 })).usage?.completion_tokens,
      16,
    );
  });

  test('many prompts with n answers each: choice j of prompt i is i · n + j, and what it is alone', async () => {
    const prompts = ['pear', 'quince', 'plum'];
    const sampled = { temperature: 1, seed: 7, n: 2 };
    const many = await client.completions.create(text(prompts, sampled));
    assert.deepEqual(
      many.choices.map(({ index }) => index),
      [0, 1, 2, 3, 4, 5],
    );
    let promptTokens = 0;
    for (const [i, prompt] of prompts.entries()) {
      const { choices, usage } = await client.completions.create(text(prompt, sampled));
      assert.deepEqual(
        many.choices.slice(2 * i, 2 * i + 2).map((choice) => choice.text),
        choices.map((choice) => choice.text),
      );
      promptTokens += usage?.prompt_tokens ?? 0;
    }
    assert.equal(many.usage?.prompt_tokens, promptTokens);
    const streamed = many.choices.map(() => '');
    const reasons = new Map<number, unknown>();
    const stream = await client.completions.create({
      ...text(prompts, sampled),
      stream: true,
      stream_options: { include_usage: true },
    });
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      usage = chunk.usage;
      for (const { index, text: piece, finish_reason } of chunk.choices) {
        streamed[index] += piece;
        if (finish_reason) reasons.set(index, finish_reason);
      }
    }
    assert.deepEqual(
      streamed,
      many.choices.map((choice) => choice.text),
    );
    assert.equal(reasons.size, 6);
    assert.equal(usage?.total_tokens, many.usage?.total_tokens);
  });

  test('echo with logprobs tells the prompt too; with max_tokens 0 nothing but the prompt', async () => {
    const prompt = 'The quince 日';
    const ids = [...renderer.renderText(prompt)];
    const expected = plainLogprobs(ids);
    const {
      text: said,
      logprobs,
      finish_reason,
    } = await complete(text(prompt, { echo: true, logprobs: 2, max_tokens: 0 }));
    assert.deepEqual([said, finish_reason], [prompt, 'length']);
    const { tokens, token_logprobs, top_logprobs, text_offset } = logprobs ?? assert.fail();
    assert.deepEqual(
      [tokens?.length, token_logprobs?.length, top_logprobs?.length],
      [ids.length, ids.length, ids.length],
    );
    assert.deepEqual([token_logprobs?.[0], top_logprobs?.[0]], [null, null]);
    for (let n = 1; n < ids.length; n++) {
      const row = expected[n - 1];
      assert.ok(Math.abs((token_logprobs?.[n] ?? 0) - row[ids[n]]) < 1e-3, `token ${n}`);
      const told = Object.values(top_logprobs?.[n] ?? {});
      assert.ok(told.length === 2 || told.length === 3);
      assert.ok(Math.abs(Math.max(...told) - Math.max(...row)) < 1e-3);
    }
    for (const [n, offset] of (text_offset ?? []).entries()) {
      const token = tokens?.[n] ?? '';
      if (!token.startsWith('bytes:')) assert.ok(prompt.startsWith(token, offset), `${token} at ${offset}`);
    }
    const more = await complete(text(prompt, { echo: true, logprobs: 2, max_tokens: 4 }));
    assert.ok(more.text.startsWith(prompt));
    assert.equal(more.logprobs?.tokens?.length, ids.length + 4);
    assert.deepEqual(more.logprobs?.token_logprobs?.slice(0, ids.length), token_logprobs);
    const alone = await complete(text(prompt, { logprobs: 2, max_tokens: 4 }));
    assert.equal(prompt + alone.text, more.text);
    assert.deepEqual(more.logprobs?.token_logprobs?.slice(ids.length), alone.logprobs?.token_logprobs);
    assert.deepEqual(
      more.logprobs?.text_offset?.slice(ids.length),
      alone.logprobs?.text_offset?.map((offset) => offset + prompt.length),
    );
    assert.equal((await complete(text(ids, { echo: true, max_tokens: 4 }))).text, more.text);
  });

  test('best_of gives the answers with the highest log-probability per token', async () => {
    const sampled = { temperature: 1.5, seed: 11, logprobs: 0, max_tokens: 6 };
    const all = await client.completions.create(text('pear', { ...sampled, n: 5 }));
    const score = ({ logprobs }: OpenAI.CompletionChoice): number => {
      const list = logprobs?.token_logprobs ?? [];
      return list.length === 0 ? -Infinity : list.reduce((a, b) => a + b) / list.length;
    };
    const order = all.choices.toSorted((a, b) => score(b) - score(a)).map((choice) => choice.text);
    const best = await client.completions.create(text('pear', { ...sampled, n: 2, best_of: 5 }));
    assert.deepEqual(
      best.choices.map((choice) => choice.text),
      order.slice(0, 2),
    );
    assert.deepEqual(best.usage, all.usage, 'all that was made is counted');
    assert.equal((await complete(text('pear', { ...sampled, logprobs: null, best_of: 5 }))).logprobs, null);
  });

  test('an adapter answers as it does in a chat: by model and by task', async () => {
    const byModel = await client.completions.create(text('pear', { model: 'acme/reply' }));
    assert.equal(byModel.model, 'acme/reply@1');
    assert.notEqual(byModel.choices[0].text, (await complete(text('pear'))).text);
    const byTask = await client.completions.create(text('pear'), { headers: { 'X-Task': 'reply' } });
    assert.equal(byTask.choices[0].text, byModel.choices[0].text);
    assert.equal((await refusal(complete(text('pear', { model: 'globex/label' })))).status, 404);
  });

  test('what is refused names its field', async () => {
    for (const [body, param] of [
      [text('pear', { suffix: 'x' }), 'suffix'],
      [text('', {}), 'prompt'],
      [text(['a', '']), 'prompt[1]'],
      [text([0, 9999]), 'prompt'],
      [text([[1], [9999]]), 'prompt[1]'],
      [text('word '.repeat(400)), 'prompt'],
      [text(['a', 'word '.repeat(400)]), 'prompt[1]'],
      [text('a', { best_of: 9 }), 'best_of'],
    ] as const) {
      const error = await refusal(complete(body));
      assert.deepEqual([error.status, error.param], [400, param], error.message);
    }
  });
});

describe('embeddings', () => {
  const embed = async (more: Partial<OpenAI.EmbeddingCreateParams> & More): Promise<number[][]> => {
    const { data } = await client.embeddings.create({ model: 'tiny', input: 'pear', ...more });
    assert.deepEqual(
      data.map(({ index }) => index),
      [...data.keys()],
    );
    return data.map(({ embedding }) => embedding);
  };
  const pooled = (rows: Floats, length: number, how: 'mean' | 'last'): Float64Array => {
    const { hiddenSize: D } = base.config;
    const sum = new Float64Array(D);
    for (let t = how === 'last' ? length - 1 : 0; t < length; t++) {
      for (let d = 0; d < D; d++) sum[d] = sum[d] + rows[t * D + d];
    }
    const norm = Math.hypot(...sum);
    return sum.map((value) => value / norm);
  };

  test('are the pooled hidden states of a plain forward pass, with length 1', async () => {
    const inputs = ['pear', 'a quince is a fruit', '日本'];
    const vectors = await embed({ input: inputs });
    const lasts = await embed({ input: inputs, pooling: 'last' });
    for (const [n, input] of inputs.entries()) {
      const ids = [...renderer.renderText(input)];
      const hidden = forwardHidden(base, ids);
      assertClose(vectors[n], pooled(hidden, ids.length, 'mean'), 'f32Long');
      assertClose(lasts[n], pooled(hidden, ids.length, 'last'), 'f32Long');
      assert.ok(Math.abs(Math.hypot(...vectors[n]) - 1) < 1e-6);
      assert.deepEqual(await embed({ input: ids }), [vectors[n]]);
      assert.deepEqual(await embed({ input: [ids] }), [vectors[n]]);
    }
  });

  test('the two formats hold the same numbers; dimensions cuts and brings to length 1 again', async () => {
    const [asFloats] = await embed({ encoding_format: 'float' });
    const [asBase64] = await embed({ encoding_format: 'base64' });
    assert.equal(asFloats.length, 32);
    // The client decodes what it has not asked for as floats.
    const [byDefault] = await embed({});
    assert.deepEqual(byDefault, asFloats);
    const raw = Buffer.from(asBase64 as unknown as string, 'base64');
    assert.deepEqual(
      asFloats.map((_, n) => raw.readFloatLE(4 * n)),
      asFloats,
    );
    const [short] = await embed({ dimensions: 8 });
    const norm = Math.hypot(...asFloats.slice(0, 8));
    assertClose(
      short,
      asFloats.slice(0, 8).map((value) => value / norm),
      'f32Kernel',
    );
    const error = await refusal(embed({ dimensions: 33 }));
    assert.deepEqual([error.status, error.param], [400, 'dimensions']);
  });

  test('an adapter has vectors of its own, and many inputs are the same bits as each alone', async () => {
    const inputs = Array.from({ length: 40 }, (_, n) => 'plum '.repeat(1 + (n % 7)) + n);
    const vectors = await embed({ model: 'acme/reply', input: inputs });
    for (const n of [0, 13, 39]) assert.deepEqual(await embed({ model: 'acme/reply', input: inputs[n] }), [vectors[n]]);
    const adapter = compileAdapter(readArtefact(server.adapterPath('acme/reply'), base), base);
    const ids = [...renderer.renderText(inputs[3])];
    const hidden = forwardHidden(base, ids, spanHooks([{ begin: 0, end: ids.length, adapter }]));
    assertClose(vectors[3], pooled(hidden, ids.length, 'mean'), 'f32Long');
    const { usage, model } = await client.embeddings.create({ model: 'acme/reply', input: inputs });
    const numTokens = inputs.reduce((sum, input) => sum + renderer.renderText(input).length, 0);
    assert.deepEqual([usage.prompt_tokens, usage.total_tokens, model], [numTokens, numTokens, 'acme/reply@1']);
    for (const [input, param] of [
      [['a', ''], 'input[1]'],
      ['word '.repeat(400), 'input'],
      [[9999], 'input'],
    ] as const) {
      assert.equal((await refusal(embed({ input: input as unknown as string[] }))).param, param);
    }
  });
});

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

test('nothing of all this was an error of the server', () => {
  assert.deepEqual(server.errors, []);
});

test('usage names the tokens of prompt and answer, and those of the prompt that were cached', async () => {
  const prompt = 'a prompt that is long enough to be kept: '.repeat(3);
  const body = ask(prompt);
  const { usage } = await client.chat.completions.create(body);
  assert.equal(usage?.prompt_tokens, renderer.renderPrompt([{ role: 'user', content: prompt }]).length);
  assert.equal(usage?.completion_tokens, 12);
  const again = await client.chat.completions.create(body);
  const cached = again.usage?.prompt_tokens_details?.cached_tokens ?? -1;
  assert.ok(cached > 0 && cached < (usage?.prompt_tokens ?? 0), `${cached} of ${usage?.prompt_tokens} tokens`);
});
