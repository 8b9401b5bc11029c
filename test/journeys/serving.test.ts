/** What `espalier serve` answers: streams, limits, stops, many at once, clients that leave, and its end. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import OpenAI from 'openai';
import {
  ask,
  type ChatBody,
  clientOf,
  CONTEXT,
  metric,
  refusal,
  server,
  startServer,
  TASKS,
  textOf,
  untilIdle,
  versions,
} from './serving-harness.ts';

describe('answers', () => {
  test('a stream is the whole answer in pieces, with usage at the end', async () => {
    const body = ask('tell me more', 'acme/triage', { max_completion_tokens: 60 });
    const whole = await clientOf('acme').chat.completions.create(body);
    const stream = await clientOf('acme').chat.completions.create({
      ...body,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let numPieces = 0;
    const reasons: unknown[] = [];
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      assert.equal(chunk.system_fingerprint, whole.system_fingerprint);
      for (const { delta, finish_reason } of chunk.choices) {
        text += delta.content ?? '';
        numPieces += delta.content ? 1 : 0;
        if (finish_reason) reasons.push(finish_reason);
      }
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.ok(numPieces > 10, `${numPieces} pieces`);
    assert.deepEqual(reasons, [whole.choices[0].finish_reason]);
    const { prompt_tokens_details: details, ...counts } = usage ?? assert.fail('usage came');
    const { prompt_tokens_details: _, ...expected } = whole.usage ?? assert.fail('usage came');
    assert.deepEqual(counts, expected);
    // The whole answer has left its prompt in the cache.
    const numCached = details?.cached_tokens ?? 0;
    assert.ok(numCached > 0 && numCached < counts.prompt_tokens, `${numCached} cached tokens`);
  });

  test('a prompt’s prefix is cached for the tenant and the model that asked it, and for nobody else', async () => {
    const cachedOf = async (tenant: string, model: string): Promise<number | undefined> => {
      const text = 'a question that was not asked before, in so many words';
      const { usage } = await clientOf(tenant).chat.completions.create(ask(text, model));
      return usage?.prompt_tokens_details?.cached_tokens;
    };
    assert.equal(await cachedOf('acme', 'tiny'), 0);
    assert.ok(Number(await cachedOf('acme', 'tiny')) > 0);
    assert.equal(await cachedOf('acme', 'acme/label'), 0);
    assert.equal(await cachedOf('acme', 'acme/reply'), 0);
    assert.equal(await cachedOf('globex', 'tiny'), 0);
    assert.ok(Number(await cachedOf('acme', 'acme/label')) > 0);
  });

  test('max_completion_tokens ends the answer with the reason length', async () => {
    const answer = await clientOf('acme').chat.completions.create(ask('hello', 'tiny', { max_completion_tokens: 5 }));
    assert.equal(answer.choices[0].finish_reason, 'length');
    assert.equal(answer.usage?.completion_tokens, 5);
    assert.equal(answer.usage?.total_tokens, (answer.usage?.prompt_tokens ?? 0) + 5);
  });

  test('a stop string ends the answer before it, streamed or not', async () => {
    const body = ask('hello', 'acme/summary', { max_completion_tokens: 60 });
    const text = await textOf('acme', body);
    // In the middle, and found nowhere earlier.
    const stop = Array.from(text).slice(20, 24).join('');
    const expected = text.slice(0, text.indexOf(stop));
    assert.ok(expected.length > 0 && stop.length >= 4);
    const stopped = await clientOf('acme').chat.completions.create({ ...body, stop: ['never said', stop] });
    assert.equal(stopped.choices[0].message.content, expected);
    assert.equal(stopped.choices[0].finish_reason, 'stop');
    let streamed = '';
    for await (const chunk of await clientOf('acme').chat.completions.create({ ...body, stop, stream: true })) {
      streamed += chunk.choices[0]?.delta.content ?? '';
    }
    assert.equal(streamed, expected);
    await untilIdle();
  });

  test('a seed decides the sampled answer; n gives different ones, of which the first is that of n = 1', async () => {
    const body = ask('hello', 'globex/triage', { temperature: 1, seed: 5 });
    const single = await clientOf('globex').chat.completions.create(body);
    const one = single.choices[0].message.content;
    assert.equal(await textOf('globex', body), one);
    assert.notEqual(await textOf('globex', { ...body, seed: 6 }), one);
    const { choices, usage } = await clientOf('globex').chat.completions.create({ ...body, n: 2 });
    assert.deepEqual(
      choices.map(({ index }) => index),
      [0, 1],
    );
    assert.equal(choices[0].message.content, one);
    assert.notEqual(choices[1].message.content, one);
    assert.ok(Number(usage?.completion_tokens) > Number(single.usage?.completion_tokens), 'usage is of both answers');
  });

  test('a prompt that is too long is refused with both lengths', async () => {
    const error = await refusal('acme', ask('a b c '.repeat(2000), 'tiny'));
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.code, 'context_length_exceeded');
    const [, prompt, limit] = /has (\d+) tokens.* the (\d+) /.exec(error.message) ?? [];
    assert.ok(Number(prompt) > CONTEXT && Number(limit) === CONTEXT, error.message);
    const asked = await refusal('acme', ask('hello', 'tiny', { max_completion_tokens: CONTEXT }));
    assert.match(asked.message, new RegExp(`max_tokens is ${CONTEXT}`));
  });
});

/** One after the other, requests take a step for each token: so many of the tokens must have come without a step of their own. */
const MET_SHARE = 0.3;

describe('many at once', () => {
  test('each answer is the one that the request gets alone', async () => {
    const names = ['tiny', ...versions.keys()];
    const requests = names.flatMap((name, index) => {
      const text = 'pear quince plum '.repeat(1 + 7 * index);
      const tenant = versions.get(name)?.tenant ?? 'acme';
      const greedy = ask(text, name, { max_completion_tokens: 150 + index });
      return [
        { tenant, body: greedy },
        { tenant, body: { ...greedy, temperature: 0.9, top_p: 0.95, seed: index } },
      ];
    });
    const alone: string[] = [];
    for (const { tenant, body } of requests) alone.push(await textOf(tenant, body));
    assert.equal(new Set(alone).size, requests.length);
    // How many of them meet in a step is up to the machine, so they are sent again until many have met.
    for (let attempt = 1, share = 0; share < MET_SHARE; attempt++) {
      assert.ok(attempt <= 50, `requests sent at once never shared steps: ${share} of the tokens did`);
      const [stepsBefore, tokensBefore] = [await metric('steps_total'), await metric('generated_tokens_total')];
      const together = await Promise.all(requests.map(({ tenant, body }) => textOf(tenant, body)));
      assert.deepEqual(together, alone);
      const steps = (await metric('steps_total')) - stepsBefore;
      share = 1 - steps / ((await metric('generated_tokens_total')) - tokensBefore);
    }
    assert.equal(await metric('resident', 'espalier_adapters', 'base="tiny",tier="ready"'), versions.size);
    await untilIdle();
  });

  test('clients that leave free their sequences at once', async () => {
    await untilIdle();
    const generatedBefore = await metric('generated_tokens_total');
    const leaving = [...versions].slice(0, 2).map(async ([name, { tenant }]) => {
      const left = new AbortController();
      const body = { ...ask('hello', name, { max_completion_tokens: 3000 }), stream: true as const };
      const stream = await clientOf(tenant).chat.completions.create(body, { signal: left.signal });
      let numChunks = 0;
      for await (const _ of stream) if (++numChunks === 5) left.abort();
    });
    await Promise.all(leaving);
    await untilIdle();
    const generated = (await metric('generated_tokens_total')) - generatedBefore;
    assert.ok(generated < 3000, `${generated} of 6000 tokens were generated`);
    assert.equal(await textOf('acme', ask('hello', 'tiny')), await textOf('acme', ask('hello', 'tiny')));
  });
});

test('a server that is told to end finishes its answers, takes no new ones, and exits with 0', async () => {
  const body = ask('hello', 'acme/triage', { max_completion_tokens: 200 });
  const whole = await textOf('acme', body);
  const stream = await clientOf('acme').chat.completions.create({ ...body, stream: true });
  let text = '';
  let numChunks = 0;
  for await (const { choices } of stream) {
    if (numChunks++ === 0) server.program.kill('SIGTERM');
    text += choices[0]?.delta.content ?? '';
  }
  assert.equal(text, whole);
  const { code, signal } = await server.program.finished;
  assert.deepEqual([code, signal], [0, null]);
  await assert.rejects(fetch(`${server.url}/healthz`));
});

test('a cache that holds little makes requests wait; none is lost, and the answers are the same', async () => {
  await startServer(['--cache-tokens', '256', '--max-sequences', '3']);
  const client = clientOf('acme').withOptions({ baseURL: `${server.url}/v1` });
  const bodies = TASKS.flatMap((task) =>
    [20, 60].map((max_completion_tokens) => ask('plum', `acme/${task}`, { max_completion_tokens })),
  );
  const texts = async (body: ChatBody): Promise<unknown> =>
    (await client.chat.completions.create(body)).choices[0].message.content;
  const alone: unknown[] = [];
  for (const body of bodies) alone.push(await texts(body));
  assert.deepEqual(await Promise.all(bodies.map(texts)), alone);
  // Without a limit of its own a request may take the whole cache, not the whole context, which is larger here.
  const { usage, choices } = await client.chat.completions.create({ ...bodies[0], max_completion_tokens: null });
  assert.ok(choices[0].finish_reason === 'stop' || usage?.total_tokens === 256, JSON.stringify(usage));
  await untilIdle();
});
