/** Tool calls by the official client of a real server, whose model knows nothing: what it calls is what the grammar makes it call. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { zodFunction } from 'openai/helpers/zod';
import { z } from 'zod';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';

let server: TinyServer;
let client: OpenAI;
before(async () => {
  server = await startTinyServer({
    contextLength: 2048,
    adapters: { 'acme/triage': { seed: 1, rank: 4, targets: ['q_proj', 'v_proj'] } },
  });
  client = new OpenAI({ apiKey: server.keyOf('acme'), baseURL: `${server.url}/v1`, maxRetries: 0 });
});
after(() => server?.[Symbol.asyncDispose]());

type Body = OpenAI.ChatCompletionCreateParamsNonStreaming;
type Message = OpenAI.ChatCompletionMessage;

const Weather = z.strictObject({ city: z.enum(['Rome', 'Oslo', 'Köln']), days: z.int().min(1).max(9) });
const Note = z.strictObject({ words: z.array(z.enum(['sun', 'rain'])).max(3), isPublic: z.boolean().optional() });
const ARGUMENTS: Readonly<Record<string, z.ZodType>> = { weather: Weather, note: Note };

const toolOf = (name: string, more: object = {}): OpenAI.ChatCompletionFunctionTool => ({
  type: 'function',
  function: { name, parameters: z.toJSONSchema(ARGUMENTS[name]), ...more },
});
const tools = [toolOf('weather'), toolOf('note', { description: 'Takes a note', strict: true })];

function ask(seed: number, more: Partial<Body> = {}): Body {
  return {
    model: 'acme/triage',
    messages: [{ role: 'user', content: `request ${seed}` }],
    temperature: 1,
    seed,
    max_completion_tokens: 600,
    tools,
    tool_choice: 'required',
    ...more,
  };
}

async function choiceOf(body: Body): Promise<OpenAI.ChatCompletion.Choice> {
  return (await client.chat.completions.create(body)).choices[0];
}

function callsOf({ tool_calls: calls = [] }: Message): { name: string; given: unknown }[] {
  return calls.map((call) => {
    assert.ok(call.type === 'function');
    assert.match(call.id, /^call_/);
    const given: unknown = JSON.parse(call.function.arguments);
    ARGUMENTS[call.function.name].parse(given);
    return { name: call.function.name, given };
  });
}

test('required: calls of the tools, with arguments of their schemas, and no text', async () => {
  const names = new Set<string>();
  for (let seed = 0; seed < 12; seed++) {
    const { message, finish_reason: reason } = await choiceOf(ask(seed));
    if (reason === 'length') continue;
    assert.equal(reason, 'tool_calls');
    assert.equal(message.content, null);
    const calls = callsOf(message);
    assert.ok(calls.length > 0);
    for (const { name } of calls) names.add(name);
    const single = await choiceOf(ask(seed, { parallel_tool_calls: false }));
    assert.deepEqual(callsOf(single.message), calls.slice(0, 1), 'the same up to the end of the first call');
  }
  assert.deepEqual([...names].toSorted(), ['note', 'weather'], 'both are called by some');
});

test('an answer that does not end goes on with further calls, if it may', async () => {
  // The token that ends an answer; where it is the only one, the answer ends all the same.
  const body = { logit_bias: { 2: -100 }, max_completion_tokens: 500 };
  const { message, finish_reason: reason } = await choiceOf(ask(4, body));
  assert.equal(reason, 'length');
  const whole = (message.tool_calls ?? []).slice(0, -1);
  assert.ok(whole.length > 1, 'several calls, and one that is cut off');
  const single = await choiceOf(ask(4, { ...body, parallel_tool_calls: false }));
  assert.equal(single.finish_reason, 'tool_calls');
  assert.deepEqual(callsOf(single.message), callsOf({ ...message, tool_calls: whole.slice(0, 1) }));
  callsOf({ ...message, tool_calls: whole });
});

test('a named function is called, once; strict: false lets its arguments be any object', async () => {
  const tool_choice = { type: 'function', function: { name: 'note' } } as const;
  for (let seed = 0; seed < 4; seed++) {
    const { message, finish_reason: reason } = await choiceOf(ask(seed, { tool_choice }));
    assert.equal(reason, 'tool_calls');
    const [call, second] = callsOf(message);
    assert.equal(call.name, 'note');
    assert.equal(second, undefined);
  }
  const { message } = await choiceOf(ask(1, { tool_choice, tools: [tools[0], toolOf('note', { strict: false })] }));
  const [call] = message.tool_calls ?? [];
  assert.ok(call.type === 'function' && call.function.arguments.startsWith('{'));
  assert.throws(() => Note.parse(JSON.parse(call.function.arguments)));
});

test('a stream: id and name of a call first, then its arguments in pieces; together what the whole answer is', async () => {
  for (const n of [1, 2]) {
    const body = ask(3, { n, logprobs: true, top_logprobs: 1 });
    const whole = await client.chat.completions.create(body);
    const stream = await client.chat.completions.create({
      ...body,
      stream: true,
      stream_options: { include_usage: true },
    });
    const calls = Array.from({ length: n }, (): { id: string; name: string; text: string; numPieces: number }[] => []);
    const reasons: (string | null)[] = [];
    const tokens = Array.from({ length: n }, (): string[] => []);
    for await (const { choices, usage } of stream) {
      if (usage) assert.deepEqual(usage.completion_tokens, whole.usage?.completion_tokens);
      for (const { index, delta, logprobs, finish_reason: reason } of choices) {
        assert.ok(delta.content === undefined || delta.content === null, 'no text');
        tokens[index].push(...(logprobs?.content ?? []).map(({ token }) => token));
        if (reason) reasons[index] = reason;
        for (const piece of delta.tool_calls ?? []) {
          if (piece.id !== undefined) {
            assert.equal(piece.index, calls[index].length);
            assert.equal(piece.type, 'function');
            calls[index].push({ id: piece.id, name: piece.function?.name ?? '', text: '', numPieces: 0 });
          } else {
            assert.equal(piece.index, calls[index].length - 1);
            assert.deepEqual(Object.keys(piece.function ?? {}), ['arguments']);
            calls[index][piece.index].numPieces++;
          }
          calls[index][piece.index].text += piece.function?.arguments ?? '';
        }
      }
    }
    for (const [index, choice] of whole.choices.entries()) {
      assert.equal(reasons[index], choice.finish_reason);
      assert.deepEqual(
        calls[index].map(({ name, text }) => ({ name, arguments: text })),
        choice.message.tool_calls?.map((call) => call.type === 'function' && call.function),
      );
      assert.ok(calls[index].every(({ numPieces }) => numPieces > 1));
      assert.deepEqual(
        tokens[index],
        choice.logprobs?.content?.map(({ token }) => token),
      );
      assert.match(tokens[index].join(''), /^<tool_call>\n\{"name": /, 'the tokens of calls are told too');
    }
    const ids = calls.flat().map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length, 'every call has an id of its own');
  }
});

test('auto beside a format: the answer is a value of the format, or calls', async () => {
  const response_format = { type: 'json_schema' as const, json_schema: { name: 'n', schema: { enum: ['<', 7] } } };
  let [numTexts, numCalls] = [0, 0];
  for (let seed = 0; seed < 24; seed++) {
    const body = ask(seed, { tool_choice: 'auto', response_format, temperature: 2, max_completion_tokens: 300 });
    const { message, finish_reason: reason } = await choiceOf(body);
    if (reason === 'stop') {
      assert.ok(['"<"', '7'].includes(message.content ?? ''), String(message.content));
      assert.equal(message.tool_calls, undefined);
      numTexts++;
    } else if (reason === 'tool_calls') {
      numCalls += callsOf(message).length;
    }
  }
  assert.ok(numTexts > 0 && numCalls > 0, `${numTexts} texts, ${numCalls} calls`);
});

test('auto alone leaves the model its text; none is an answer that has seen no tools', async () => {
  const body = { temperature: 0, max_completion_tokens: 12 };
  const free = await choiceOf(ask(1, { ...body, tool_choice: 'auto' }));
  const unseen = await choiceOf(ask(1, { ...body, tool_choice: 'none' }));
  const { tools: _, tool_choice: __, ...plain } = ask(1, body);
  const without = await choiceOf(plain);
  assert.ok(free.message.content && free.finish_reason === 'length');
  assert.equal(unseen.message.content, without.message.content);
  assert.notEqual(free.message.content, without.message.content, 'the prompt tells of the tools');
});

test('stop strings end text, and not calls', async () => {
  const body = ask(5, { tool_choice: { type: 'function', function: { name: 'weather' } } });
  const { message } = await choiceOf(body);
  const stopped = await choiceOf({ ...body, stop: ['{', '"', '<tool_call>', ':'] });
  assert.deepEqual(callsOf(stopped.message), callsOf(message));
  assert.equal(stopped.finish_reason, 'tool_calls');
});

test('an answer that is cut off in a call says so', async () => {
  for (const max_completion_tokens of [1, 5, 20, 40]) {
    const { message, finish_reason: reason } = await choiceOf(ask(2, { max_completion_tokens }));
    assert.equal(reason, 'length');
    assert.equal(message.content, message.tool_calls ? null : '', 'the beginning of a call is no text');
  }
});

test('the client’s own loop runs the tools and sends back calls and results', async () => {
  const seen: unknown[] = [];
  const weather = zodFunction({
    name: 'weather',
    description: 'Of a city',
    parameters: Weather,
    function(given) {
      seen.push(given);
      return `${given.days} degrees`;
    },
  });
  const body = { ...ask(7), tools: [weather], parallel_tool_calls: false };
  const runner = client.chat.completions.runTools(body, { maxChatCompletions: 3 });
  await runner.done();
  assert.equal(seen.length, 3, 'one call a round');
  const roles = runner.messages.map(({ role }) => role);
  assert.deepEqual(roles, ['user', 'assistant', 'tool', 'assistant', 'tool', 'assistant', 'tool']);
  const streamed = client.chat.completions.runTools({ ...body, stream: true }, { maxChatCompletions: 2 });
  await streamed.done();
  assert.deepEqual(
    streamed.messages.map(({ role }) => role),
    roles.slice(0, 5),
  );
  assert.deepEqual(seen.slice(3), seen.slice(0, 2), 'the same calls as unstreamed');
});

test('a schema that cannot be enforced is refused by its field, unless it is not to be enforced', async () => {
  const parameters = { type: 'object', properties: { a: { type: 'array', uniqueItems: true } } };
  const error = await choiceOf(ask(0, { tools: [tools[0], toolOf('note', { parameters })] })).then(
    () => assert.fail('answered'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.param, 'tools[1].function.parameters');
  assert.match(error.message, /uniqueItems/);
  const lax = await choiceOf(ask(0, { tools: [toolOf('note', { parameters, strict: false })] }));
  assert.ok(lax.message.tool_calls);
  assert.deepEqual(server.errors, []);
});

test('a predicted call is the same call, whole and streamed, and both name the tier that served it', async () => {
  const body = ask(1, { parallel_tool_calls: false });
  const calls = callsOf((await choiceOf(body)).message);
  assert.equal(calls.length, 1);
  const content = JSON.stringify({ name: calls[0].name, arguments: calls[0].given });
  const predicted = { ...body, prediction: { type: 'content', content }, service_tier: 'flex' } as const;

  const whole = await client.chat.completions.create(predicted);
  assert.deepEqual(callsOf(whole.choices[0].message), calls);
  assert.equal(whole.choices[0].finish_reason, 'tool_calls');
  assert.equal(whole.service_tier, 'flex');
  assert.ok(whole.usage?.completion_tokens_details, 'the prediction was looked into');

  const chunks = await Array.fromAsync(await client.chat.completions.create({ ...predicted, stream: true }));
  assert.ok(chunks.every((chunk) => chunk.service_tier === 'flex'));
  assert.equal(chunks[0].choices[0].delta.content, null, 'a call does not begin with text');
  const pieces = chunks.flatMap(({ choices }) => choices[0].delta.tool_calls ?? []);
  assert.deepEqual(JSON.parse(pieces.map((piece) => piece.function?.arguments ?? '').join('')), calls[0].given);
});
