import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeRequest, recorder, tinyBase } from '../../test/support/random-requests.ts';
import { BASE_ADAPTER, type CompiledAdapter } from '../adapters/index.ts';
import { Rng } from '../base/index.ts';
import { DEFAULT_ENGINE, Engine } from './engine.ts';

const { vocabSize: V, hiddenSize: D } = tinyBase.config;

/** An adapter that has trained every token of the base. */
function everyToken(isHeadTied: boolean): CompiledAdapter {
  const rng = Rng.fromSeed(3);
  const rows_KD = { shape: [V, D], data: Float32Array.from({ length: V * D }, () => rng.nextNormal()) };
  return { ...BASE_ADAPTER, tokenRows: { ids: Int32Array.from({ length: V }, (_, id) => id), rows_KD, isHeadTied } };
}

for (const isHeadTied of [true, false]) {
  test(`guessed tokens have the rows that the adapter trained, ${isHeadTied ? 'in the head too' : 'only at the input'}`, () => {
    const adapter = everyToken(isHeadTied);
    const answer = (maxDraftTokens: number, prediction: readonly number[]) => {
      const { digests, ...parts } = recorder();
      const engine = new Engine(tinyBase, { ...DEFAULT_ENGINE, maxDraftTokens }, parts);
      const request = { ...makeRequest('x', 2, 1), maxTokens: 16, stopTokenIds: [] };
      engine.submit({ ...request, predictionTokenIds: Int32Array.from(prediction) }, adapter);
      const tokenIds: number[] = [];
      let numSteps = 0;
      for (; engine.hasWork; numSteps++) tokenIds.push(...engine.step().events.flatMap((event) => event.tokenIds));
      return { tokenIds, digests: digests.get('x'), numSteps };
    };
    const alone = answer(0, []);
    const guessed = answer(4, alone.tokenIds);
    assert.deepEqual([guessed.tokenIds, guessed.digests], [alone.tokenIds, alone.digests]);
    assert.ok(guessed.numSteps < alone.numSteps / 2, `${guessed.numSteps} steps instead of ${alone.numSteps}`);
  });
}
