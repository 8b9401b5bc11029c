/** Ctrl-c in a training: it is left with a checkpoint, says how to go on, and nobody's mistake loses what was reached. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import type { TrainOutcome } from '../../src/app/index.ts';
import { Program, run, runJson } from '../support/processes.ts';
import { trainingHome } from '../support/training-home.ts';

const { folder, program, data } = trainingHome();

function trainArgs(output: string, numSteps: number, ...more: string[]): string[] {
  const steps = [
    '--max-steps',
    String(numSteps),
    '--checkpoint-every',
    '1000',
    '--batch-tokens',
    '384',
    '--valid-share',
    '0',
  ];
  return ['train', '--base', 'tiny', '--data', data, '--output', output, ...steps, ...more];
}

test('a terminal’s ctrl-c leaves a checkpoint, from which --resume comes to the same bytes', async () => {
  const [output, whole] = [folder.join('stopped'), folder.join('whole')];
  await using training = new Program(trainArgs(output, 200), program);
  await training.until(({ stderr }) => stderr.includes('training 1/200'));
  // As a terminal sends it: to the program and to the process that trains.
  process.kill(-training.pid, 'SIGINT');
  const { code, stderr } = await training.finished;
  assert.equal(code, 130, stderr);
  assert.match(stderr, /stopping after this step, with a checkpoint; once more ends at once/);
  assert.match(stderr, /left a checkpoint in .*stopped and stopped: --resume goes on from it/);
  assert.ok(!existsSync(folder.join('stopped', 'run', 'lock')));

  const anew = await run(trainArgs(output, 200), program);
  assert.equal(anew.code, 2);
  assert.match(
    anew.stderr,
    /has the checkpoint of a run that did not come to its end: --resume goes on from it, --restart/,
  );
  const resumed = await runJson<TrainOutcome>(trainArgs(output, 200, '--resume'), program);
  const undisturbed = await runJson<TrainOutcome>(trainArgs(whole, 200), program);
  assert.equal(resumed.digest, undisturbed.digest);
});

test('a run that is killed leaves its folder free, and --restart begins anew', async () => {
  const output = folder.join('killed');
  await using training = new Program(trainArgs(output, 20_000, '--checkpoint-every', '1'), program);
  await training.until(({ stderr }) => stderr.includes('training 1/20000'));
  const other = await run(trainArgs(output, 2, '--restart'), program);
  assert.equal(other.code, 2);
  assert.match(other.stderr, /is training there: give each run a folder of its own/);
  training.killAll();
  await training.finished;
  const both = await run(trainArgs(output, 2, '--resume', '--restart'), program);
  assert.match(both.stderr, /--resume or --restart/);
  assert.equal((await run(trainArgs(output, 2, '--restart'), program)).code, 0);
});
