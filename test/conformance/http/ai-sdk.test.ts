/** The `ai` SDK's OpenAI-compatible provider against the real server. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, embed, embedMany, generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';

let server: TinyServer;
let provider: ReturnType<typeof createOpenAICompatible<string, string, string, string>>;

before(async () => {
  server = await startTinyServer({
    contextLength: 2048,
    adapters: {
      'acme/reply': { seed: 2, rank: 8, targets: 'all-linear' },
      'globex/label': { seed: 3, rank: 2, targets: ['o_proj'] },
    },
  });
  provider = createOpenAICompatible<string, string, string, string>({
    name: 'espalier',
    baseURL: `${server.url}/v1`,
    apiKey: server.keyOf('acme'),
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
});
after(() => server?.[Symbol.asyncDispose]());

const settings = { temperature: 0, maxOutputTokens: 20, maxRetries: 0 };
const hello = { ...settings, prompt: 'hello' };

test('a chat, whole and streamed, by the base and by an adapter', async () => {
  const texts: string[] = [];
  for (const name of ['tiny', 'acme/reply']) {
    const whole = await generateText({ ...hello, model: provider.chatModel(name), system: 'be brief' });
    assert.ok(whole.text.length > 0);
    assert.equal(whole.finishReason, 'length');
    assert.equal(whole.usage.outputTokens, 20);
    assert.equal(whole.response.modelId, name === 'tiny' ? 'tiny' : 'acme/reply@1');
    const stream = streamText({ ...hello, model: provider.chatModel(name), system: 'be brief' });
    let text = '';
    for await (const piece of stream.textStream) text += piece;
    assert.equal(text, whole.text);
    assert.equal(await stream.finishReason, 'length');
    assert.deepEqual((await stream.usage).totalTokens, whole.usage.totalTokens);
    texts.push(text);
  }
  assert.notEqual(texts[0], texts[1]);
});

test('settings have effect: seed, topP, penalties, stop sequences, and fields of our own', async () => {
  const model = provider.chatModel('tiny');
  const sampled = { ...hello, model, temperature: 1, seed: 4 };
  const { text } = await generateText(sampled);
  assert.equal((await generateText(sampled)).text, text);
  assert.notEqual((await generateText({ ...sampled, seed: 5 })).text, text);
  const greedy = (await generateText({ ...hello, model })).text;
  assert.equal((await generateText({ ...sampled, topP: 0 })).text, greedy);
  assert.equal((await generateText({ ...sampled, providerOptions: { espalier: { top_k: 1 } } })).text, greedy);
  assert.notEqual(
    (await generateText({ ...hello, model, frequencyPenalty: 2, presencePenalty: 2, maxOutputTokens: 60 })).text,
    (await generateText({ ...hello, model, maxOutputTokens: 60 })).text,
  );
  const stop = greedy.slice(4, 6);
  const stopped = await generateText({ ...hello, model, stopSequences: [stop] });
  assert.equal(stopped.text, greedy.slice(0, greedy.indexOf(stop)));
  assert.equal(stopped.finishReason, 'stop');
});

test('text completions', async () => {
  const model = provider.completionModel('acme/reply');
  const { text, usage } = await generateText({ ...hello, model });
  assert.equal(usage.outputTokens, 20);
  let streamed = '';
  for await (const piece of streamText({ ...hello, model }).textStream) streamed += piece;
  assert.equal(streamed, text);
});

test('embeddings, one and many', async () => {
  const model = provider.embeddingModel('acme/reply');
  const { embedding, usage } = await embed({ model, value: 'pear' });
  assert.equal(embedding.length, 32);
  assert.ok(usage.tokens > 0);
  const { embeddings } = await embedMany({ model, values: ['plum', 'pear'] });
  assert.deepEqual(embeddings[1], embedding);
  assert.notDeepEqual(embeddings[0], embedding);
});

test('errors keep their status and message', async () => {
  const asked = (name: string, more: object = {}): Promise<unknown> =>
    generateText({ ...hello, ...more, model: provider.chatModel(name) });
  for (const [answer, status, message] of [
    [() => asked('globex/label'), 404, /globex\/label/],
    [() => asked('tiny', { providerOptions: { espalier: { beams: 3 } } }), 400, /beams is not a field/],
    [() => embed({ model: provider.embeddingModel('tiny'), value: '', maxRetries: 0 }), 400, /input/],
  ] as const) {
    await assert.rejects(
      answer(),
      (error) => APICallError.isInstance(error) && error.statusCode === status && message.test(error.message),
    );
  }
});

const City = z.object({ city: z.enum(['Rome', 'Oslo']), days: z.int().min(1).max(9) });
const asking = { maxRetries: 0, maxOutputTokens: 400, temperature: 1, prompt: 'how warm will it be?' } as const;

test('tools: called, run, their results sent back; whole and streamed', async () => {
  const seen: unknown[] = [];
  const weather = tool({
    description: 'The weather of a city',
    inputSchema: City,
    execute: (given) => {
      seen.push(given);
      return { degrees: given.days };
    },
  });
  const body = {
    ...asking,
    model: provider.chatModel('acme/reply'),
    tools: { weather },
    toolChoice: 'required',
    stopWhen: stepCountIs(2),
    seed: 3,
    providerOptions: { espalier: { parallel_tool_calls: false } },
  } as const;
  const { steps } = await generateText(body);
  assert.equal(steps.length, 2, 'the second request has the first one’s result');
  for (const { finishReason, toolCalls, toolResults } of steps) {
    assert.equal(finishReason, 'tool-calls');
    assert.equal(toolCalls.length, 1);
    const [call] = toolCalls;
    City.parse(call.input);
    assert.deepEqual(toolResults[0].output, { degrees: City.parse(call.input).days });
  }
  assert.deepEqual(
    seen,
    steps.map(({ toolCalls }) => toolCalls[0].input),
  );
  const stream = streamText(body);
  let numPieces = 0;
  for await (const part of stream.fullStream) {
    if (part.type === 'error') throw part.error;
    if (part.type === 'tool-input-delta') numPieces++;
  }
  const streamed = await stream.steps;
  assert.deepEqual(
    streamed.map(({ toolCalls }) => toolCalls[0].input),
    seen.slice(0, 2),
  );
  assert.ok(numPieces > streamed.length, 'arguments come in pieces');
  const named = await generateText({
    ...body,
    toolChoice: { type: 'tool', toolName: 'weather' },
    stopWhen: stepCountIs(1),
  });
  assert.equal(named.toolCalls[0].toolName, 'weather');
});

test('objects of a schema', async () => {
  const { object } = await generateObject({ ...asking, seed: 1, model: provider.chatModel('tiny'), schema: City });
  City.parse(object);
});
