/** QLoRA and memory budgets as a user runs them: what is recorded, what is refused, and that memory changes no result. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TrainOutcome } from '../../src/app/index.ts';
import { run, runJson, TemporaryFolder } from '../support/processes.ts';
import { writeTinyBase } from '../support/tiny-base.ts';
import { writeChats } from '../support/training-files.ts';

const folder = new TemporaryFolder();
const home = folder.join('home');
const data = folder.join('train.jsonl');

before(async () => {
  writeTinyBase(folder.join('tiny'));
  await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], { home });
  writeChats(data, { count: 12, words: 30, seed: 1 });
});
after(() => folder[Symbol.dispose]());

function trainArgs(name: string, ...more: readonly string[]): string[] {
  const options = ['--max-steps', '3', '--batch-tokens', '512', '--targets', 'all-linear', '--dropout', '0.1'];
  return ['train', '--base', 'tiny', '--data', data, '--output', folder.join(name), ...options, ...more];
}

test('a QLoRA is a PEFT folder of a LoRA whose record says that the base was in nf4', async () => {
  const qlora = await runJson<TrainOutcome>(trainArgs('qlora', '--method', 'qlora', '--publish', 'acme/words'), {
    home,
  });
  const lora = await runJson<TrainOutcome>(trainArgs('lora'), { home });
  assert.deepEqual([qlora.baseFormat, lora.baseFormat], ['nf4', 'bf16']);
  assert.equal(qlora.baseDigest, lora.baseDigest);
  assert.notEqual(qlora.digest, lora.digest, 'another base trains another adapter');
  const config = JSON.parse(readFileSync(join(folder.join('qlora'), 'adapter_config.json'), 'utf8')) as object;
  assert.equal((config as { peft_type: string }).peft_type, 'LORA');
  const shown = await runJson<{ method: string; provenance: { config: { method: string; baseFormat: string } } }>(
    ['adapters', 'show', 'acme/words'],
    { home },
  );
  assert.equal(shown.method, 'lora');
  assert.deepEqual([shown.provenance.config.method, shown.provenance.config.baseFormat], ['qlora', 'nf4']);
  await runJson(trainArgs('explicit', '--format', 'nf4'), { home });
  const [one, two] = ['explicit', 'qlora'].map((name) =>
    readFileSync(join(folder.join(name), 'adapter_model.safetensors')),
  );
  assert.ok(one.equals(two), 'the same bytes as LoRA with --format nf4');
});

test('activations that are computed again give the same bytes, and a budget says what it picked', async () => {
  const kept = await runJson<TrainOutcome>(trainArgs('kept', '--method', 'qlora'), { home });
  const recomputed = await runJson<TrainOutcome>(trainArgs('recomputed', '--method', 'qlora', '--recompute'), { home });
  assert.equal(recomputed.digest, kept.digest);
  const budget = await run(trainArgs('budget', '--method', 'qlora', '--memory', '2GiB'), { home });
  assert.equal(budget.code, 0, budget.stderr);
  assert.match(
    budget.stdout + budget.stderr,
    /memory: micro-batches of 512 tokens, activations are kept: .* planned of 2\.15 GB/,
  );
  const same = readFileSync(join(folder.join('budget'), 'adapter_model.safetensors'));
  assert.ok(same.equals(readFileSync(join(folder.join('kept'), 'adapter_model.safetensors'))));
});

test('what contradicts itself or does not fit is refused by name, before anything is written', async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--method', 'qlora', '--format', 'bf16'], /--method qlora trains on a base in nf4, --format is bf16/],
    [['--memory', '1MiB'], /the longest example has \d+ tokens, with which a run takes/],
    [['--memory', '2GiB', '--micro-batch-tokens', '64'], /give one or the other/],
  ];
  for (const [args, message] of cases) {
    const finished = await run(trainArgs('never', ...args), { home });
    assert.notEqual(finished.code, 0);
    assert.match(finished.stderr, message);
  }
  assert.equal((await run(trainArgs('never', '--memory', 'much'), { home })).code, 2);
  assert.equal(existsSync(folder.join('never')), false);
});

test('generate takes the format', async () => {
  const args = ['generate', '--base', 'tiny', '--prompt', 'one', '--max-tokens', '4'];
  const answers = await Promise.all(
    ['nf4', 'bf16'].map((format) => runJson<{ text: string }>([...args, '--format', format], { home })),
  );
  assert.ok(answers.every(({ text }) => typeof text === 'string'));
  assert.equal((await run([...args, '--format', 'fp4'], { home })).code, 2);
});

test('a base that was written in NF4 is a base, and answers like the one that is quantised in memory', async () => {
  const output = folder.join('nf4');
  const written = await runJson<{ numMatrices: number }>(['models', 'quantise', 'tiny', '--output', output], { home });
  assert.equal(written.numMatrices, 14);
  const [theirs, ours] = await Promise.all(
    [output, 'tiny'].map((base) =>
      runJson<{ text: string }>(
        ['generate', '--base', base, '--prompt', 'one two', '--max-tokens', '16', '--format', 'nf4'],
        { home },
      ),
    ),
  );
  assert.equal(theirs.text, ours.text);
});
