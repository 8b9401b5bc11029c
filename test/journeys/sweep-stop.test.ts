/** Ctrl-c in a sweep: every run that is under way is left with a checkpoint, and --resume ends as if nobody had interrupted it. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { SweepReport } from '../../src/app/index.ts';
import { Program, run, runJson } from '../support/processes.ts';
import { trainingHome } from '../support/training-home.ts';

const { folder, program, data } = trainingHome({ count: 200, words: 4 });

/** Virtual tokens are more rows than a pass takes, so a step of theirs takes more passes: LoRA has come to its end when they are half way. */
function sweepArgs(output: string, numSteps: number, ...more: string[]): string[] {
  const lengths = ['--max-steps', String(numSteps), '--batch-tokens', '384', '--group-tokens', '384'];
  const methods = ['--method', 'lora,prompt-tuning', '--learning-rate', '1e-3,1e30'];
  return ['sweep', '--base', 'tiny', '--data', data, ...methods, ...lengths, '--output', output, ...more];
}

function adapter(output: string, name: string): Buffer {
  return readFileSync(join(output, name, 'adapter_model.safetensors'));
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await setTimeout(5);
}

/** What the table shows of a row. */
function figures({ rows, best }: SweepReport) {
  const shown = rows.map(({ name, error, timeShare, result }) => {
    const { steps, trainLoss, validLoss, validAccuracy, trainedTokens, trainableParameters, adapterBytes } =
      result ?? {};
    const scores = [steps, trainLoss, validLoss, validAccuracy, trainedTokens, trainableParameters, adapterBytes];
    return { name, code: error?.code, timeShare, scores };
  });
  return { shown, best };
}

test('a terminal’s ctrl-c leaves a checkpoint of each unfinished run, from which --resume ends as an uninterrupted sweep does', async () => {
  const [output, whole] = [folder.join('stopped'), folder.join('whole')];
  const [finished, unfinished] = ['lora-lr0.001', 'prompt-tuning-lr0.001'];
  const record = join(output, finished, 'run', 'run.json');
  await using sweeping = new Program(sweepArgs(output, 200), program);
  await until(() => existsSync(record));
  // As a terminal sends it: to the program and to the process that trains.
  process.kill(-sweeping.pid, 'SIGINT');
  const { code, stderr } = await sweeping.finished;
  assert.equal(code, 130, stderr);
  assert.match(stderr, /stopping after this step, with a checkpoint of every run; once more ends at once/);
  assert.match(
    stderr,
    /has left a checkpoint of each unfinished run in .*stopped and stopped: --resume goes on with them/,
  );
  assert.ok(existsSync(join(output, unfinished, 'checkpoint.safetensors')), 'it was under way');
  assert.ok(!existsSync(join(output, finished, 'checkpoint.safetensors')), 'it was done');

  const anew = await run(sweepArgs(output, 200), program);
  assert.equal(anew.code, 2);
  assert.match(anew.stderr, /has a sweep that did not come to its end: --resume goes on from it, --restart drops it/);
  const other = await run(sweepArgs(output, 100, '--resume'), program);
  assert.equal(other.code, 1);
  assert.match(other.stderr, /begun with other settings or other runs: resume with the same, or begin anew/);

  const writtenMs = statSync(record).mtimeMs;
  const resumed = await runJson<SweepReport>(sweepArgs(output, 200, '--resume', '--publish', 'acme/words'), program);
  assert.equal(statSync(record).mtimeMs, writtenMs, 'a finished run is not run again');
  const rest = resumed.rows.find(({ name }) => name === unfinished)?.result;
  assert.ok(rest && rest.tokensPerSecond * rest.seconds < 0.99 * rest.trainedTokens, 'it went on from its checkpoint');
  const undisturbed = await runJson<SweepReport>(sweepArgs(whole, 200), program);
  assert.deepEqual(figures(resumed), figures(undisturbed));
  for (const name of [finished, unfinished]) assert.deepEqual(adapter(output, name), adapter(whole, name), name);
  assert.equal(resumed.rows.find(({ name }) => name === resumed.best)?.result?.adapter, 'acme/words@1');

  const over = await run(sweepArgs(output, 200, '--resume'), program);
  assert.match(over.stderr, /there is no unfinished sweep to resume: run without --resume/);
});

test('a sweep that is killed goes on from what its runs have saved, or begins anew with --restart', async () => {
  const output = folder.join('killed');
  const args = (...more: string[]): string[] => sweepArgs(output, 30, ...more);
  const checkpoint = join(output, 'prompt-tuning-lr0.001', 'checkpoint.safetensors');
  await using sweeping = new Program(sweepArgs(output, 20_000), program);
  await until(() => existsSync(checkpoint));
  const beside = await run(sweepArgs(output, 20_000, '--resume'), program);
  assert.match(beside.stderr, /is training there: give each run a folder of its own/);
  sweeping.killAll();
  await sweeping.finished;
  assert.equal((await run(args(), program)).code, 2);
  const both = await run(args('--resume', '--restart'), program);
  assert.match(both.stderr, /--resume or --restart/);
  const { rows } = await runJson<SweepReport>(args('--restart'), program);
  assert.deepEqual(
    rows.map(({ result }) => result?.steps),
    [30, undefined, 30, 30],
  );
  assert.equal((await run(args(), program)).code, 0, 'what has come to its end is in nobody’s way');
});
