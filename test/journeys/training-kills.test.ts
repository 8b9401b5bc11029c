/** Kills at random moments, in short: `npm run faults:training` does many, in every method. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Rng } from '../../src/base/index.ts';
import { killedRun, methodKind } from '../support/killed-training.ts';
import { runJson, TemporaryFolder } from '../support/processes.ts';
import { writeTinyBase } from '../support/tiny-base.ts';
import { writeChats } from '../support/training-files.ts';

const folder = new TemporaryFolder();
const program = { home: folder.join('home'), threads: 1 };
const data = folder.join('train.jsonl');

before(async () => {
  writeTinyBase(folder.join('tiny'));
  await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], program);
  writeChats(data, { count: 48, words: 24, seed: 1 });
});
after(() => folder[Symbol.dispose]());

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
