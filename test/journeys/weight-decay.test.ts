/** Runs of before weight decay spared biases and norms: their records give their bytes, and their checkpoints go on to them. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TrainOutcome } from '../../src/app/index.ts';
import { Program, runJson, TemporaryFolder } from '../support/processes.ts';
import { writeTinyBase } from '../support/tiny-base.ts';
import { writeChats } from '../support/training-files.ts';

const folder = new TemporaryFolder();
const program = { home: folder.join('home'), threads: 1 };
const data = folder.join('train.jsonl');

interface RunRecord {
  readonly config: { readonly optimizer: Record<string, unknown> };
}

before(async () => {
  writeTinyBase(folder.join('tiny'));
  await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], program);
  writeChats(data, { count: 48, words: 24, seed: 1 });
});
after(() => folder[Symbol.dispose]());

function recordOf(output: string): RunRecord {
  return JSON.parse(readFileSync(join(output, 'run', 'run.json'), 'utf8')) as RunRecord;
}

test('an older record and an older checkpoint end in their own bytes, which decay of everything gives', async () => {
  const [now, then, resumed] = [folder.join('now'), folder.join('then'), folder.join('resumed')];
  const options = ['--base', 'tiny', '--data', data, '--method', 'full', '--weight-decay', '0.5', '--valid-share', '0'];
  const lengths = ['--max-steps', '60', '--batch-tokens', '384', '--learning-rate', '1e-3'];
  const shared = ['train', ...options, ...lengths, '--checkpoint-every', '1000'];
  const train = (output: string, ...more: string[]): string[] => [...shared, '--output', output, ...more];
  const spared = await runJson<TrainOutcome>(train(now), program);
  const record = recordOf(now);
  assert.equal(record.config.optimizer['sparesBiasesAndNorms'], true);
  const { sparesBiasesAndNorms: _spares, ...optimizer } = record.config.optimizer;
  const older = folder.join('older.json');
  writeFileSync(older, JSON.stringify({ ...record, config: { ...record.config, optimizer } }));

  const repeated = await runJson<TrainOutcome>(['train', '--from-run', older, '--output', then], program);
  assert.notEqual(repeated.digest, spared.digest);
  // As a run of before has left it: with the settings of the older record.
  const begin = ['train', '--from-run', older, '--checkpoint-every', '1000', '--output', resumed];
  await using training = new Program(begin, program);
  await training.until(({ stderr }) => stderr.includes('training 1/60'));
  process.kill(-training.pid, 'SIGINT');
  assert.equal((await training.finished).code, 130, training.stderr);
  const { digest } = await runJson<TrainOutcome>(train(resumed, '--resume'), program);
  assert.equal(digest, repeated.digest);
  assert.deepEqual(recordOf(resumed).config.optimizer, optimizer, 'its record says so too');
});

test('runs without decay have the settings that they always had', async () => {
  const output = folder.join('plain');
  const lengths = ['--max-steps', '1', '--batch-tokens', '384', '--valid-share', '0'];
  await runJson(['train', '--base', 'tiny', '--data', data, ...lengths, '--output', output], program);
  const { optimizer } = recordOf(output).config;
  assert.deepEqual(Object.keys(optimizer), ['beta1', 'beta2', 'epsilon', 'weightDecay', 'maxGradientNorm']);
});
