/** Answers in a form that the request asks for, by the official client of a real server whose model knows nothing. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';

let server: TinyServer;
let client: OpenAI;
before(async () => {
  server = await startTinyServer({
    contextLength: 512,
    adapters: { 'acme/triage': { seed: 1, rank: 4, targets: ['q_proj', 'v_proj'] } },
  });
  client = new OpenAI({ apiKey: server.keyOf('acme'), baseURL: `${server.url}/v1`, maxRetries: 0 });
});
after(() => server?.[Symbol.asyncDispose]());

type Body = OpenAI.ChatCompletionCreateParamsNonStreaming;
/** vLLM's fields are not in OpenAI's types. */
type More = Partial<Body> & Readonly<Record<string, unknown>>;

function ask(seed: number, more: More): Body {
  const messages = [{ role: 'user' as const, content: `request ${seed}` }];
  return { model: 'acme/triage', messages, temperature: 1.5, seed, max_completion_tokens: 200, ...more };
}

async function textOf(body: Body): Promise<{ text: string; reason: string }> {
  const { choices } = await client.chat.completions.create(body);
  return { text: choices[0].message.content ?? '', reason: choices[0].finish_reason };
}

const Ticket = z.object({
  kind: z.enum(['bug', 'question']),
  urgent: z.boolean(),
  points: z.array(z.int().min(0).max(99)).max(3),
});

test('a schema: every answer that ends is one of its values, and says so as the client’s own parser finds', async () => {
  const format = zodResponseFormat(Ticket, 'ticket');
  let numEnded = 0;
  for (let seed = 0; seed < 8; seed++) {
    const { text, reason } = await textOf(ask(seed, { response_format: format }));
    if (reason === 'length') continue;
    numEnded++;
    assert.equal(reason, 'stop');
    Ticket.parse(JSON.parse(text));
  }
  assert.ok(numEnded > 0, 'some answers ended');
  const free = await textOf(ask(0, {}));
  assert.throws(() => JSON.parse(free.text), 'without a schema this model never writes JSON');
  const parsed = await client.chat.completions.parse(ask(0, { temperature: 0, response_format: format }));
  assert.ok(Ticket.safeParse(parsed.choices[0].message.parsed).success);
});

test('any object, an expression, a choice', async () => {
  const { text, reason } = await textOf(ask(1, { response_format: { type: 'json_object' }, temperature: 0 }));
  assert.match(text, /^\{/);
  if (reason === 'stop') assert.equal(typeof JSON.parse(text), 'object');
  for (let seed = 0; seed < 4; seed++) {
    assert.match((await textOf(ask(seed, { guided_regex: '[A-C]{3}-[0-9]{4}' }))).text, /^[A-C]{3}-[0-9]{4}$/);
    const chosen = await textOf(ask(seed, { structured_outputs: { choice: ['spam', 'ham'] } }));
    assert.ok(['spam', 'ham'].includes(chosen.text) && chosen.reason === 'stop', JSON.stringify(chosen));
  }
});

test('held to a form or not, together or alone: the same answers; streamed and whole are the same', async () => {
  const bodies = [0, 1, 2, 3, 4, 5].map((seed) =>
    ask(seed, seed % 2 === 0 ? { response_format: zodResponseFormat(Ticket, 'ticket') } : {}),
  );
  const alone: { text: string; reason: string }[] = [];
  for (const body of bodies) alone.push(await textOf(body));
  assert.deepEqual(await Promise.all(bodies.map(textOf)), alone);
  let streamed = '';
  for await (const chunk of await client.chat.completions.create({ ...bodies[0], stream: true })) {
    streamed += chunk.choices[0]?.delta.content ?? '';
  }
  assert.equal(streamed, alone[0].text);
});

test('a form that cannot be enforced is refused by the field that asks for it, and the server goes on', async () => {
  const refused: readonly (readonly [More, string])[] = [
    [{ response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { type: 'whatever' } } } }, 'schema'],
    [{ guided_regex: '(' }, 'guided_regex'],
    [{ guided_choice: [] }, 'guided_choice'],
    [{ guided_json: true, guided_regex: 'a' }, 'guided_regex'],
  ];
  for (const [more, param] of refused) {
    const error = await client.chat.completions.create(ask(0, more)).then(
      () => assert.fail(`answered ${JSON.stringify(more)}`),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof OpenAI.BadRequestError, String(error));
    assert.match(String(error.param), new RegExp(param));
  }
  assert.equal((await textOf(ask(0, { guided_choice: ['yes'] }))).text, 'yes');
  assert.deepEqual(server.errors, []);
});
