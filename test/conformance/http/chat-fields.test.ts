/** The fields of a chat, asked by the official client of a real server: what is accepted has effect. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type OpenAI from 'openai';
import {
  ask,
  assertNoErrors,
  bytesOf,
  chat,
  type ChatBody,
  client,
  idOf,
  type More,
  plainLogprobs,
  refusal,
  renderer,
} from './surface-harness.ts';

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

  test('of an answer that is held to a form they are those of the free model', async () => {
    const { message, logprobs } = await chat(ask('pear', { logprobs: true, guided_choice: ['zebra, quite'] }));
    assert.equal(message.content, 'zebra, quite');
    const ids = [...renderer.renderPrompt([{ role: 'user', content: 'pear' }])];
    let product = 0;
    for (const { bytes, logprob } of logprobs?.content ?? []) {
      const row = plainLogprobs(ids).at(-1) ?? new Float64Array();
      const id = idOf(bytes, row);
      assert.ok(Math.abs(logprob - row[id]) < 1e-3, `${logprob} of ${row[id]}`);
      product += logprob;
      ids.push(id);
    }
    assert.ok(product < -10, 'the free model would not say this');
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

  test('a prediction changes the speed and not the answer, and usage tells what of it was tried', async () => {
    const answer = (await chat(ask('pear'))).message.content ?? '';
    for (const content of [answer, 'anything']) {
      const predicted = await client.chat.completions.create(
        ask('pear', { prediction: { type: 'content' as const, content } }),
      );
      assert.equal(predicted.choices[0].message.content, answer);
      const { accepted_prediction_tokens: accepted = 0, rejected_prediction_tokens: rejected = 0 } =
        predicted.usage?.completion_tokens_details ?? {};
      assert.ok(accepted <= (predicted.usage?.completion_tokens ?? 0));
      if (content === answer) assert.ok(accepted > 0, `${accepted} tokens were right, ${rejected} wrong`);
      else assert.equal(accepted, 0);
    }
    assert.equal((await client.chat.completions.create(ask('pear'))).usage?.completion_tokens_details, undefined);
  });
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

test('nothing of all this was an error of the server', assertNoErrors);
