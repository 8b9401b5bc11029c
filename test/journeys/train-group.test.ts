/** Many runs in one process as a user starts them: a sweep from the command line, and a group that runs join and leave. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  readConfig,
  TRAIN_DEFAULTS,
  trainAdapter,
  trainGroup,
  type SweepReport,
  type TrainOptions,
} from '../../src/app/index.ts';
import { digestOfFile } from '../../src/formats/index.ts';
import { run as runProgram, runJson, TemporaryFolder } from '../support/processes.ts';
import { writeTinyBase } from '../support/tiny-base.ts';
import { writeChats } from '../support/training-files.ts';

const folder = new TemporaryFolder();
const home = folder.join('home');
const data = folder.join('train.jsonl');
const otherData = folder.join('other.jsonl');
const valid = folder.join('valid.jsonl');

before(async () => {
  writeTinyBase(folder.join('tiny'));
  await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], { home });
  writeChats(data, { count: 24, words: 20, seed: 1 });
  writeChats(otherData, { count: 24, words: 12, seed: 3 });
  writeChats(valid, { count: 4, words: 20, seed: 2 });
});
after(() => folder[Symbol.dispose]());

const SHARED = ['--base', 'tiny', '--data', data, '--valid', valid, '--max-steps', '6', '--batch-tokens', '1024'];

function adapterDigest(output: string): string {
  return digestOfFile(join(output, 'adapter_model.safetensors'));
}

function optionsFor(name: string, changes: Partial<TrainOptions> = {}): Omit<TrainOptions, 'base'> {
  return {
    ...TRAIN_DEFAULTS,
    data,
    batchTokens: 512,
    microBatchTokens: 256,
    maxSteps: 12,
    checkpointEvery: 3,
    output: folder.join(name),
    ...changes,
  };
}

test('a sweep trains each point to the bytes of train, marks the best and publishes it; a point that diverges is a row', async () => {
  const output = folder.join('sweep');
  const axes = ['--rank', '2,4', '--learning-rate', '1e-3,1e30', '--publish', 'acme/words'];
  const report = await runJson<SweepReport>(['sweep', ...SHARED, ...axes, '--output', output], { home });
  assert.deepEqual(
    report.rows.map(({ name, error }) => [name, error?.code]),
    [
      ['lora-r2-lr0.001', undefined],
      ['lora-r2-lr1e+30', 'TRAINING_DIVERGED'],
      ['lora-r4-lr0.001', undefined],
      ['lora-r4-lr1e+30', 'TRAINING_DIVERGED'],
    ],
  );
  for (const { name, rank, result } of report.rows) {
    if (!result) continue;
    const alone = folder.join(`alone-${rank}`);
    const one = ['--rank', `${rank}`, '--learning-rate', '1e-3', '--output', alone];
    await runJson(['train', ...SHARED, ...one], { home });
    assert.equal(adapterDigest(join(output, name)), adapterDigest(alone), name);
    const rival = report.rows.find((row) => row.name === report.best)?.result;
    assert.ok(
      (rival?.validLoss ?? Infinity) <= (result.validLoss ?? -Infinity),
      'the best is the best on held-out data',
    );
    assert.equal(result.adapter, name === report.best ? 'acme/words@1' : null);
  }
});

test('a sweep over methods leaves rank and rate to each of them; methods that need two formats of the base are refused', async () => {
  const output = folder.join('methods');
  const report = await runJson<SweepReport>(['sweep', ...SHARED, '--method', 'lora,ia3', '--output', output], { home });
  assert.deepEqual(
    report.rows.map(({ name, rank, learningRate, error }) => [name, rank, learningRate, error]),
    [
      ['lora', null, null, null],
      ['ia3', null, null, null],
    ],
  );
  for (const { name } of report.rows) {
    const alone = folder.join(`alone-${name}`);
    await runJson(['train', ...SHARED, '--method', name, '--output', alone], { home });
    assert.equal(adapterDigest(join(output, name)), adapterDigest(alone), name);
  }
  const mixed = ['sweep', ...SHARED, '--method', 'lora,qlora', '--output', folder.join('mixed')];
  const { code, stderr } = await runProgram(mixed, { home });
  assert.notEqual(code, 0);
  assert.match(stderr, /qlora trains on a base in nf4.*--format nf4/);
});

test('runs of several objectives share a group, a distillation among them; each has its bytes alone', async () => {
  const group = await trainGroup({ ...readConfig(), home }, { base: 'tiny', maxTokens: 400 });
  const pairs = folder.join('pairs.jsonl');
  const labelled = folder.join('labelled.jsonl');
  const write = (path: string, row: (n: number) => object): void =>
    writeFileSync(path, Array.from({ length: 12 }, (_, n) => `${JSON.stringify(row(n))}\n`).join(''));
  write(pairs, (n) => ({ prompt: `Say yes ${n} times.`, chosen: 'yes '.repeat(n + 1), rejected: 'no' }));
  write(labelled, (n) => ({ text: `${n} ${n % 2 ? 'plum' : 'pear'}`, label: n % 2 ? 'stone' : 'pome' }));
  const objectives: Record<string, Partial<TrainOptions>> = {
    supervised: {},
    pairs: { data: pairs, objective: 'dpo' },
    labels: { data: labelled, objective: 'classification', method: 'ia3' },
    taught: { objective: 'distillation', teacher: 'tiny' },
  };
  const outcomes = Object.entries(objectives).map(([name, options]) =>
    group.add({ name, options: optionsFor(name, { ...options, maxSteps: 4 }) }),
  );
  assert.throws(() => group.add({ name: 'taught', options: optionsFor('again') }), { code: 'REQUEST_INVALID' });
  await group.end();
  for (const { name, error } of await Promise.all(outcomes)) assert.equal(error, undefined, name);
  for (const [name, options] of Object.entries(objectives)) {
    const output = folder.join(`${name} alone`);
    await trainAdapter(
      { ...readConfig(), home },
      { ...optionsFor(name, { ...options, maxSteps: 4, output }), base: 'tiny' },
    );
    assert.equal(adapterDigest(folder.join(name)), adapterDigest(output), name);
  }
});

test('a sweep over methods of a classification has its table', async () => {
  const output = folder.join('labels-sweep');
  const args = ['--base', 'tiny', '--data', folder.join('labelled.jsonl'), '--objective', 'classification'];
  const axes = ['--method', 'lora,ia3,prefix-tuning', '--max-steps', '3', '--output', output];
  const { rows, best } = await runJson<SweepReport>(['sweep', ...args, ...axes], { home });
  assert.deepEqual(
    rows.map(({ name, error }) => [name, error?.code]),
    [
      ['lora', undefined],
      ['ia3', undefined],
      ['prefix-tuning', 'USAGE_INVALID'],
    ],
  );
  assert.ok(best === 'lora' || best === 'ia3');
});

test('while the data of a run that joins is read, the others go on; one that is given up meanwhile says so at once', async () => {
  const large = folder.join('large.jsonl');
  writeChats(large, { count: 20_000, words: 20, seed: 4 });
  const group = await trainGroup({ ...readConfig(), home }, { base: 'tiny', maxTokens: 400 });
  const endless = { maxSteps: 100_000, schedule: 'constant', warmup: 0 } as const;
  let [steps, stepsBefore, stepsAtStart] = [0, 0, 0];
  const joining: ReturnType<typeof group.add>[] = [];
  const other = group.add(
    { name: 'other', options: optionsFor('other-endless', endless) },
    {
      onStep() {
        steps++;
        if (steps === 2) {
          stepsBefore = steps;
          const options = optionsFor('large', { data: large, maxSteps: 1 });
          joining.push(group.add({ name: 'large', options }, { onStarted: () => (stepsAtStart = steps) }));
          joining.push(group.add({ name: 'gone', options: optionsFor('gone', { data: large, maxSteps: 1 }) }));
          group.cancel('gone');
        }
      },
    },
  );
  try {
    while (joining.length < 2) await new Promise((resolve) => setImmediate(resolve));
    assert.equal((await joining[1]).error?.code, 'CANCELLED');
    assert.equal(stepsAtStart, 0, 'the large file is still being read');
    assert.equal((await joining[0]).error, undefined);
    assert.ok(stepsAtStart > stepsBefore + 2, `${stepsAtStart - stepsBefore} steps while the file was read`);
  } finally {
    group.cancel('other');
    assert.equal((await other).error?.code, 'CANCELLED');
    await group.end();
  }
});

test('runs of several data files join and leave a group; each has its bytes alone; a cancelled one leaves its checkpoint', async () => {
  const config = { ...readConfig(), home };
  const group = await trainGroup(config, { base: 'tiny', maxTokens: 400 });
  let late: ReturnType<typeof group.add> | undefined;
  const first = group.add(
    { name: 'first', options: optionsFor('first') },
    {
      onStep: ({ report }) => {
        if (report.step === 2)
          late = group.add({ name: 'late', options: optionsFor('late', { data: otherData, rank: 3 }) });
      },
    },
  );
  assert.throws(() => group.add({ name: 'first', options: optionsFor('again') }), { code: 'REQUEST_INVALID' });
  const broken = group.add({ name: 'broken', options: optionsFor('broken', { data: folder.join('none.jsonl') }) });
  const cut = group.add(
    // So many steps that the message comes before the last of them, however slow this process is.
    { name: 'cut', options: optionsFor('cut', { maxSteps: 100_000, schedule: 'constant', warmup: 0 }) },
    { onStep: ({ report }) => report.step === 4 && group.cancel('cut') },
  );
  assert.equal((await first).error, undefined);
  assert.equal((await broken).outcome, undefined);
  assert.equal((await cut).error?.code, 'CANCELLED');
  assert.ok(existsSync(join(folder.join('cut'), 'checkpoint.safetensors')));
  assert.ok(late, 'the second step was reported');
  assert.equal((await late).error, undefined);
  await group.end();
  for (const [name, rank, file] of [
    ['first', '8', data],
    ['late', '3', otherData],
  ]) {
    const alone = folder.join(`${name}-alone`);
    const run = ['--base', 'tiny', '--data', file, '--rank', rank, '--output', alone, '--max-steps', '12'];
    await runJson(['train', ...run, '--batch-tokens', '512', '--micro-batch-tokens', '256'], { home });
    assert.equal(adapterDigest(folder.join(name)), adapterDigest(alone), name);
  }
});

test(
  'every run of a group whose process is killed says so and can be tried again',
  { skip: process.platform !== 'linux' },
  async () => {
    const group = await trainGroup({ ...readConfig(), home }, { base: 'tiny', maxTokens: 400 });
    const endless = { maxSteps: 100_000, schedule: 'constant', warmup: 0 } as const;
    const [pid] = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .map(Number);
    const kill = (): void => void process.kill(pid, 'SIGKILL');
    const runs = [
      group.add(
        { name: 'one', options: optionsFor('killed-one', endless) },
        { onStep: ({ report }) => report.step === 4 && kill() },
      ),
      group.add({ name: 'two', options: optionsFor('killed-two', endless) }),
    ];
    for (const { error } of await Promise.all(runs)) {
      assert.equal(error?.code, 'TRAINER_DIED');
      assert.match(error.message, /SIGKILL.*--resume/);
    }
    await group.end();
  },
);
