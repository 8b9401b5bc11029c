/** `/v1/completions`, asked by the official client of a real server. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type OpenAI from 'openai';
import {
  ask,
  assertNoErrors,
  bytesOf,
  chat,
  client,
  complete,
  plainLogprobs,
  refusal,
  renderer,
  text,
} from './surface-harness.ts';

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
    for (const fruit of ['quince', 'medlar', 'damson', 'mulberry']) {
      const prompt = `${fruit} is not asked for anywhere else, `.repeat(3);
      const { usage } = await client.completions.create(text(prompt, { ...sampled, best_of: 5 }));
      assert.equal(usage?.prompt_tokens_details?.cached_tokens, 0, 'what the first candidate found');
    }
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

test('nothing of all this was an error of the server', assertNoErrors);
