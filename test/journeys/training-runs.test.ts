/** What a run leaves behind and how it ends: held-out part, records that repeat it, preference objectives, faults of disk and data. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { DryRun, EvaluateReport, RepeatedOutcome, TrainOutcome } from '../../src/app/index.ts';
import { digestOfFile } from '../../src/formats/index.ts';
import { onlyDocument, run, runJson, TemporaryFolder, type ProgramOptions } from '../support/processes.ts';
import { writeTinyBase } from '../support/tiny-base.ts';
import { writeChats, writePairs } from '../support/training-files.ts';

const folder = new TemporaryFolder();
const home = folder.join('home');
const data = folder.join('train.jsonl');
const pairs = folder.join('pairs.jsonl');
const WEIGHTS = 'adapter_model.safetensors';
const CHECKPOINT = 'checkpoint.safetensors';

interface Failure {
  readonly error: { readonly code: string; readonly message: string; readonly param: string | null };
}

before(async () => {
  writeTinyBase(folder.join('tiny'), { seed: 1 });
  await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], { home });
  writeChats(data, { count: 40, words: 8, seed: 1 });
  writePairs(pairs, 40);
});
after(() => folder[Symbol.dispose]());

function trainArgs(output: string, changes: Readonly<Record<string, string>> = {}): string[] {
  const options = {
    base: 'tiny',
    data,
    output,
    'max-steps': '6',
    'checkpoint-every': '2',
    'evaluate-every': '2',
    'batch-tokens': '256',
    'learning-rate': '1e-2',
    ...changes,
  };
  return ['train', ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])];
}

async function failing(args: readonly string[], options: Partial<ProgramOptions> = {}): Promise<Failure['error']> {
  const finished = await run([...args, '--json'], { home, ...options });
  assert.equal(finished.code, 1, finished.stderr);
  return onlyDocument<Failure>(finished.stdout).error;
}

/** Makes the disk full for the checkpoint after so many. */
function diskFullAfter(numCheckpoints: number): Record<string, string> {
  const preload = new URL('../support/full-disk.ts', import.meta.url);
  return { NODE_OPTIONS: `--import=${preload.href}`, FULL_AFTER_CHECKPOINTS: String(numCheckpoints) };
}

test('a run without --valid holds a part out, keeps best and last, and leaves what is known of it', async (t) => {
  const output = folder.join('whole');
  const events = folder.join('events');
  const first = await runJson<TrainOutcome>([...trainArgs(output, { tensorboard: events, samples: '2' })], { home });
  assert.deepEqual([first.trainExamples, first.validExamples], [38, 2]);
  assert.ok(first.validLoss !== null && first.validations.length === 3);
  const best = first.validations.reduce((a, b) => (b.loss < a.loss ? b : a));
  assert.deepEqual([first.bestStep, first.validLoss], [best.step, best.loss]);
  assert.equal(existsSync(join(first.lastOutput ?? '', WEIGHTS)), true);

  const card = readFileSync(join(output, 'README.md'), 'utf8');
  assert.match(card, /^---\nbase_model: ".+"\nlibrary_name: peft\n/);
  for (const text of [first.dataDigest, first.baseDigest, '"lora"', '"sft"', String(first.validLoss.toPrecision(6))]) {
    assert.ok(card.includes(text), text);
  }
  const svg = readFileSync(first.files.curves, 'utf8');
  assert.match(svg, /^<svg xmlns[^]*training loss[^]*held-out loss[^]*held-out accuracy[^]*<\/svg>\n$/);
  const samples = readFileSync(join(output, 'run', 'samples.jsonl'), 'utf8')
    .trim()
    .split('\n');
  assert.deepEqual(
    samples.map((line) => (JSON.parse(line) as { step: number }).step),
    [2, 2, 4, 4, 6, 6],
  );
  assert.equal(readdirSync(events).length, 1);

  await t.test('the record repeats the bytes, and what it decides cannot be said again', async () => {
    const record = first.files.record;
    const again = await runJson<RepeatedOutcome>(['train', '--from-run', record, '--output', folder.join('again')], {
      home,
    });
    assert.deepEqual([again.adapterDigest, again.isSame, again.differences], [first.adapterDigest, true, []]);
    assert.equal(digestOfFile(folder.join('again', WEIGHTS)), digestOfFile(join(output, WEIGHTS)));
    const call = ['train', '--from-run', record, '--output', folder.join('never')];
    const contradicted = await run([...call, '--seed', '3'], { home });
    assert.deepEqual([contradicted.code, /--seed cannot be given/.test(contradicted.stderr)], [2, true]);

    const changed = folder.join('changed.jsonl');
    writeChats(changed, { count: 40, words: 8, seed: 2 });
    const other = await failing([...call, '--data', changed]);
    assert.deepEqual([other.code, other.param], ['DATA_INVALID', '--data']);
    const edited = folder.join('edited.json');
    const text = readFileSync(record, 'utf8');
    writeFileSync(edited, text.replace('"seed": 0', '"seed": 1'));
    const reseeded = await runJson<RepeatedOutcome>(
      ['train', '--from-run', edited, '--output', folder.join('reseeded')],
      { home },
    );
    assert.equal(reseeded.isSame, false, 'the comparison can fail');
    writeFileSync(edited, text.replace('"seed": 0', '"sead": 0'));
    assert.equal(
      (await failing(['train', '--from-run', edited, '--output', folder.join('never')])).code,
      'CONFIG_INVALID',
    );
  });

  await t.test('the adapter is published without the run beside it', async () => {
    const imported = await run(['adapters', 'import', output, 'acme/kept', '--base', 'tiny'], { home });
    assert.equal(imported.code, 0, imported.stderr);
  });
});

test('a dry run checks and shows everything, and writes nothing', async () => {
  const output = folder.join('dry');
  const args = trainArgs(output).filter((arg, i, all) => arg !== '--learning-rate' && all[i - 1] !== '--learning-rate');
  const dry = await runJson<DryRun>([...args, '--dry-run'], { home });
  assert.deepEqual([dry.train.examples, dry.validExamples], [38, 2]);
  // 2e-4 · 4096/32 · √(256/2048), at most 5e-3.
  assert.equal(dry.config.learningRate, 5e-3);
  assert.ok(dry.train.preview[0].spans.some(({ weight, text }) => weight === 1 && text.endsWith('<|im_end|>')));
  assert.equal(existsSync(output), false);
});

for (const [objective, more] of [
  ['dpo', { beta: '0.3', 'label-smoothing': '0.1' }],
  ['kto', {}],
] as const) {
  test(`${objective}: interrupted and resumed, a run ends in the bytes of one that was not`, async () => {
    const changes = { data: pairs, objective, 'learning-rate': '3e-3', 'max-steps': '12', ...more };
    const whole = await runJson<TrainOutcome>(trainArgs(folder.join(objective), changes), { home });
    const output = folder.join(`${objective}-killed`);
    await failing(trainArgs(output, changes), { env: diskFullAfter(3) });
    const { stderr, stdout } = await run([...trainArgs(output, changes), '--resume', '--json'], { home });
    assert.match(stderr, /resumed after step 6\n/);
    const resumed = onlyDocument<TrainOutcome>(stdout);
    assert.deepEqual(resumed.trainLosses, whole.trainLosses);
    assert.deepEqual(resumed.validations, whole.validations);
    assert.equal(resumed.adapterDigest, whole.adapterDigest);
    assert.ok(whole.validations.every(({ metrics }) => Number.isFinite(metrics['rewards/chosen'])));
    assert.ok(whole.trainLosses[11] < whole.trainLosses[0], 'something is learned');
    const scored = await runJson<EvaluateReport>(
      ['evaluate', '--base', 'tiny', '--data', pairs, '--metric', 'preference-accuracy', '--adapter', output],
      { home },
    );
    assert.deepEqual([scored.examples, scored.value > 0.5], [40, true], String(scored.value));
  });
}

test('an objective is refused the data and the options of another', async () => {
  const chats = await failing(trainArgs(folder.join('never'), { objective: 'dpo' }));
  assert.deepEqual([chats.code, chats.param], ['DATA_INVALID', 'objective']);
  assert.match(chats.message, /holds chats.*use --objective sft/);
  const supervised = await failing(trainArgs(folder.join('never'), { data: pairs }));
  assert.match(supervised.message, /preference pairs.*--objective dpo or ipo/);
  const evaluate = ['evaluate', '--base', 'tiny', '--data', pairs, '--metric'];
  assert.equal((await failing([...evaluate, 'loss'])).code, 'DATA_INVALID');
  assert.equal(
    (await run([...evaluate, 'preference-accuracy'], { home })).code,
    2,
    'the base is no better than itself',
  );
  const option = await run([...trainArgs(folder.join('never')), '--beta', '0.1'], { home });
  assert.deepEqual([option.code, /--beta has no meaning for --objective sft/.test(option.stderr)], [2, true]);
});

test('a run that gets no better stops early, and keeps its best', async () => {
  const changes = { 'learning-rate': '0.3', warmup: '0', patience: '1', 'max-steps': '40', 'evaluate-every': '1' };
  const outcome = await runJson<TrainOutcome>(trainArgs(folder.join('impatient'), changes), { home });
  assert.equal(outcome.stoppedEarly, true);
  assert.equal(outcome.steps, outcome.bestStep + 1);
  assert.notEqual(outcome.lastDigest, outcome.digest);
});

test('a full disk: a clear error, the last checkpoint whole, and the run goes on from it', async () => {
  const output = folder.join('full');
  const env = diskFullAfter(1);
  const error = await failing(trainArgs(output), { env });
  assert.equal(error.code, 'DISK_FULL');
  assert.match(error.message, /checkpoint\.safetensors: cannot be written \(ENOSPC.*make room/);
  assert.deepEqual(
    readdirSync(output).filter((name) => name.includes('checkpoint')),
    [CHECKPOINT],
  );
  const resumed = await runJson<TrainOutcome>([...trainArgs(output), '--resume'], { home });
  const whole = await runJson<TrainOutcome>(trainArgs(folder.join('not-full')), { home });
  assert.equal(resumed.adapterDigest, whole.adapterDigest);

  const moved = folder.join('moved.jsonl');
  const removed = folder.join('removed');
  await failing(trainArgs(removed), { env });
  const checkpoint = digestOfFile(join(removed, CHECKPOINT));
  renameSync(data, moved);
  const missing = await failing([...trainArgs(removed), '--resume']);
  assert.deepEqual([missing.code, missing.message.includes('train.jsonl')], ['FILE_NOT_FOUND', true]);
  assert.equal(digestOfFile(join(removed, CHECKPOINT)), checkpoint, 'the checkpoint is as it was');
  const found = await runJson<TrainOutcome>([...trainArgs(removed, { data: moved }), '--resume'], { home });
  assert.equal(found.adapterDigest, whole.adapterDigest);
  renameSync(moved, data);
});

test('in float32 a run ends in the same bytes on every processor with fused multiply-adds', async () => {
  const digests = new Map<string, string>();
  for (const isa of ['avx2', 'avx512', 'avx512bf16', 'neon']) {
    const args = trainArgs(folder.join(`on-${isa}`), { rank: '4', format: 'nf4' });
    const env = { ESPALIER_ISA: isa, ESPALIER_COMPUTE: 'f32' };
    const finished = await run([...args, '--json'], { home, env });
    if (finished.code === 0) digests.set(isa, onlyDocument<TrainOutcome>(finished.stdout).digest ?? '');
    else assert.match(finished.stderr + finished.stdout, /this processor does not have it/);
  }
  assert.ok(digests.size > 0, 'this processor has one of them');
  assert.equal(new Set(digests.values()).size, 1, JSON.stringify([...digests]));
});
