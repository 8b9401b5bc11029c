/** Kills at random moments, in short: `npm run faults:training` does many, in every method. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../../src/base/index.ts';
import { killedRun, methodKind } from '../support/killed-training.ts';
import { trainingHome } from '../support/training-home.ts';

const { folder, program, data } = trainingHome();

// One that quantises the base, one with a norm that it trains, one with tensors that no checkpoint has.
for (const method of ['qlora', 'dora', 'vera'] as const) {
  test(`${method}: killed at a random moment and resumed, a run leaves the same bytes and files`, async () => {
    const steps = ['--max-steps', '24', '--checkpoint-every', '2', '--evaluate-every', '4', '--batch-tokens', '384'];
    const { kills, differences } = await killedRun(methodKind(method), {
      program,
      args: ['--base', 'tiny', '--data', data, '--learning-rate', '1e-2', '--samples', '1', ...steps],
      folder: folder.path,
      numKills: 1,
      rng: Rng.fromSeed(2, method),
    });
    assert.equal(kills.length, 1);
    assert.deepEqual(differences, []);
  });
}
