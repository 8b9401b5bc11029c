import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EspalierError, type Clock, type ErrorCode } from '../../base/index.ts';
import type { AnswerDelta } from '../../http/index.ts';
import { observed, type ObservedAnswer } from './observe.ts';

async function* answering(deltas: readonly AnswerDelta[], error?: Error): AsyncGenerator<AnswerDelta, void, undefined> {
  yield* deltas;
  if (error) throw error;
}

const DELTAS: readonly AnswerDelta[] = [
  { index: 0, text: 'hello ' },
  { index: 0, text: 'world', toolCalls: [{ index: 0, begin: { id: 'call_1', name: 'f' }, argumentsText: '{}' }] },
  {
    index: 0,
    text: '',
    finishReason: 'stop',
    usage: { promptTokens: 3, completionTokens: 2, cachedTokens: 0 },
    queuedMs: 400,
  },
];

function clock(): Clock {
  let ms = 0;
  return { nowMs: () => (ms += 1000), epochMs: () => 0 };
}

async function observe(deltas: AsyncIterable<AnswerDelta>, max = Infinity) {
  const told: { answer?: ObservedAnswer; seconds?: number; faults: number } = { faults: 0 };
  const got: AnswerDelta[] = [];
  const listener = {
    onAnswer: (answer: ObservedAnswer, seconds: number) => void Object.assign(told, { answer, seconds }),
    onFault: () => void told.faults++,
  };
  try {
    for await (const delta of observed(deltas, clock(), listener)) if (got.push(delta) >= max) break;
  } catch (error) {
    assert.ok(error instanceof Error);
  }
  return { got, ...told };
}

test('an answer passes unchanged, and is told whole at its end, its time in the queue apart', async () => {
  const { got, answer, seconds, faults } = await observe(answering(DELTAS));
  assert.deepEqual(got, DELTAS);
  assert.deepEqual(answer, { text: 'hello worldf{}', figures: { chars: 14, tokens: 2, ms: 600 } });
  assert.deepEqual([seconds, faults], [1, 0]);
});

test('a fault is one of the server; what a client caused is none, nor is a client that leaves', async () => {
  const faults = async (error: Error): Promise<number> => (await observe(answering(DELTAS.slice(0, 1), error))).faults;
  const codes: [ErrorCode, number][] = [
    ['ADAPTER_UNAVAILABLE', 1],
    ['ENGINE_UNAVAILABLE', 1],
    ['STORAGE_CORRUPT', 1],
    ['ADAPTER_INVALID', 1],
    ['REQUEST_INVALID', 0],
    ['CONTEXT_TOO_LONG', 0],
    ['OVERLOADED', 0],
    ['CANCELLED', 0],
  ];
  for (const [code, expected] of codes) assert.equal(await faults(new EspalierError(code, 'x')), expected, code);
  assert.equal(await faults(new TypeError('a bug')), 1);
  const left = await observe(answering(DELTAS), 1);
  assert.deepEqual([left.answer, left.faults], [undefined, 0]);
});
