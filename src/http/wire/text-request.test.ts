import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EspalierError } from '../../base/index.ts';
import { parseBody } from '../body.ts';
import type { TextRequest } from '../requests.ts';
import { embeddingRequest, embeddingRequestOf } from './embedding.ts';
import { completionRequest, textRequestOf } from './text-request.ts';

const HELLO = { model: 'tiny', prompt: 'hello' };

function read(body: unknown): TextRequest {
  return textRequestOf(parseBody(completionRequest, body), 4, new Headers());
}

function problemOf(ask: () => unknown): { param: string | undefined; message: string } {
  try {
    ask();
  } catch (error) {
    assert.ok(error instanceof EspalierError);
    assert.equal(error.code, 'REQUEST_INVALID');
    return { param: error.param, message: error.message };
  }
  return assert.fail('it was accepted');
}

test('a short request gets the defaults', () => {
  const { prompts, maxTokens, numChoices, bestOf, echo, topLogprobs, temperature, seed } = read(HELLO);
  assert.deepEqual(
    { prompts, maxTokens, numChoices, bestOf, echo, topLogprobs, temperature, seed },
    {
      prompts: ['hello'],
      maxTokens: 16,
      numChoices: 1,
      bestOf: 1,
      echo: false,
      topLogprobs: null,
      temperature: 1,
      seed: null,
    },
  );
});

test('the four kinds of prompt', () => {
  const prompts = (prompt: unknown): unknown => read({ ...HELLO, prompt }).prompts;
  assert.deepEqual(prompts(['a', 'b']), ['a', 'b']);
  assert.deepEqual(prompts([1, 2, 3]), [[1, 2, 3]]);
  assert.deepEqual(prompts([[1, 2], [3]]), [[1, 2], [3]]);
  for (const [prompt, param] of [
    ['', 'prompt'],
    [['a', ''], 'prompt[1]'],
    [[], 'prompt'],
    [[[]], undefined],
    [[-1], undefined],
    [['a', 1], undefined],
    [null, 'prompt'],
    ['\ud800', 'prompt'],
  ] as const) {
    const problem = problemOf(() => read({ ...HELLO, prompt }));
    if (param !== undefined) assert.equal(problem.param, param, problem.message);
    assert.match(problem.message, /prompt/);
  }
});

test('every field that is obeyed is passed on', () => {
  const body = {
    ...HELLO,
    max_tokens: 0,
    echo: true,
    logprobs: 5,
    n: 2,
    best_of: 3,
    top_k: -1,
    min_p: 0.25,
    repetition_penalty: 1.5,
    presence_penalty: -2,
    frequency_penalty: 2,
    logit_bias: { 7: -100, 0: 1.5 },
    stop: 'x',
    stop_token_ids: [5],
    ignore_eos: true,
    seed: 9,
    temperature: 0,
    top_p: 0.5,
    priority: 3,
  };
  assert.deepEqual(read(body), {
    prompts: ['hello'],
    maxTokens: 0,
    echo: true,
    topLogprobs: 5,
    numChoices: 2,
    bestOf: 3,
    topK: 0,
    minP: 0.25,
    repetitionPenalty: 1.5,
    presencePenalty: -2,
    frequencyPenalty: 2,
    logitBias: [
      [0, 1.5],
      [7, -100],
    ],
    stop: ['x'],
    stopTokenIds: [5],
    ignoreEos: true,
    minTokens: 0,
    seed: 9,
    temperature: 0,
    topP: 0.5,
    scheduling: { priority: -3, timeoutMs: null },
  });
  const known = Object.keys(completionRequest.shape).filter((field) => !(field in HELLO));
  assert.deepEqual(read({ ...HELLO, ...Object.fromEntries(known.map((field) => [field, null])) }), read(HELLO));
});

test('what contradicts itself, or is not there, is refused by name', () => {
  for (const [more, param] of [
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ best_of: 5 }, 'best_of'],
    [{ n: 3, best_of: 2 }, 'best_of'],
    [{ n: 5 }, 'n'],
    [{ best_of: 2, stream: true }, 'best_of'],
    [{ logprobs: 6 }, 'logprobs'],
    [{ logprobs: true }, 'logprobs'],
    [{ suffix: 'x' }, 'suffix'],
    [{ stream_options: {} }, 'stream_options'],
    [{ min_tokens: 17 }, 'min_tokens'],
    [{ logit_bias: { the: 1 } }, 'logit_bias.the'],
    [{ logit_bias: { 1: 101 } }, 'logit_bias.1'],
    [{ messages: [] }, 'messages'],
    [{ lora: [{ id: 0, scale: 1 }] }, 'lora'],
    [{ adapter_id: 'x' }, 'adapter_id'],
    [{ adapters: [] }, 'adapters'],
    [{ adapters: [{ id: 'a/b', weight: 1e9 }] }, 'adapters[0].weight'],
    [{ prompt: Array.from({ length: 1000 }, () => 'x'), best_of: 3 }, 'prompt'],
  ] as const) {
    const problem = problemOf(() => read({ ...HELLO, ...more }));
    assert.equal(problem.param, param, problem.message);
  }
});

test('embeddings: the same kinds of input, and their own options', () => {
  const asked = (body: unknown): unknown => embeddingRequestOf(parseBody(embeddingRequest, body), new Headers());
  assert.deepEqual(asked({ model: 'tiny', input: 'a' }), {
    inputs: ['a'],
    dimensions: null,
    pooling: 'mean',
    scheduling: { priority: 0, timeoutMs: null },
  });
  assert.deepEqual(asked({ model: 'tiny', input: [[1], [2, 3]], dimensions: 8, pooling: 'last', user: 'u' }), {
    inputs: [[1], [2, 3]],
    dimensions: 8,
    pooling: 'last',
    scheduling: { priority: 0, timeoutMs: null },
  });
  for (const [body, param] of [
    [{ input: '' }, 'input'],
    [{ input: ['a', ''] }, 'input[1]'],
    [{ input: 'a', dimensions: 0 }, 'dimensions'],
    [{ input: 'a', encoding_format: 'int8' }, 'encoding_format'],
    [{}, 'input'],
  ] as const) {
    assert.equal(problemOf(() => asked({ model: 'tiny', ...body })).param, param);
  }
});
