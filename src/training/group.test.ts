/** Runs that are trained together end in the bytes that they have alone: random groups, budgets, joining times, failures, checkpoints. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Rng } from '../base/index.ts';
import { defaultLoraConfig } from '../formats/index.ts';
import { baseHooks, openBase, type BaseModel } from '../model/index.ts';
import {
  BufferPool,
  canComputeIn,
  loadNativeKernels,
  Tape,
  type ComputeDtype,
  type WeightFormat,
} from '../numeric/index.ts';
import { paired, randomExamples, randomRun, TARGETS, type RandomRun } from '../../test/support/random-runs.ts';
import { writeTinyBase } from '../../test/support/tiny-base.ts';
import { loadCheckpoint, saveCheckpoint, type RunIdentity } from './checkpoint.ts';
import { TrainingGroup, type GroupEvent } from './group.ts';
import { groupStep } from './group-step.ts';
import { joinBatches } from './join-batches.ts';
import { packExamples } from './pack.ts';
import type { RunConfig } from './run-config.ts';
import { TrainingRun } from './run.ts';
import { spanHooks } from './span-hooks.ts';

const folder = mkdtempSync(join(tmpdir(), 'espalier-group-'));
after(() => rmSync(folder, { recursive: true, force: true }));
writeTinyBase(join(folder, 'base'));
const kernels = loadNativeKernels();
const openAs = (format: WeightFormat, computeDtype: ComputeDtype): BaseModel =>
  openBase(
    {
      name: 'tiny',
      path: join(folder, 'base'),
      digest: 'tiny',
      packedDirectory: join(folder, 'packed'),
      format,
      computeDtype,
    },
    kernels,
  );
const base = openAs('f32', 'f32');
const identityOf = (config: RunConfig): RunIdentity => ({ base: base.digest, train: 'data', valid: null, config });

/** Everything that a run has: the bytes of its checkpoint. */
function bytesOf(run: TrainingRun): Buffer {
  const path = join(folder, 'bytes.safetensors');
  saveCheckpoint(path, run, identityOf(run.config));
  return readFileSync(path);
}

function runOf({ config, data, isTaught }: RandomRun, on = base, pool = new BufferPool()): TrainingRun {
  return new TrainingRun(on, data, config, pool, isTaught ? { teacher: { base: on, hooks: baseHooks } } : {});
}

function alone(one: RandomRun, on = base): TrainingRun {
  const run = runOf(one, on);
  while (!run.isDone) run.step();
  return run;
}

function together(
  cases: readonly RandomRun[],
  maxTokens: number,
  on = base,
): { runs: TrainingRun[]; events: GroupEvent[] } {
  const pool = new BufferPool();
  const group = new TrainingGroup(on, pool, maxTokens);
  const runs = cases.map((one) => runOf(one, on, pool));
  const events: GroupEvent[] = [];
  for (let pass = 0; pass <= 4 || group.size > 0; pass++) {
    for (const [index, { joinsAt }] of cases.entries()) if (joinsAt === pass) group.add(`${index}`, runs[index]);
    events.push(...group.pass());
  }
  return { runs, events };
}

const PRODUCTS: readonly (readonly [WeightFormat, ComputeDtype, seeds: number])[] = [
  ['f32', 'f32', 12],
  ['bf16', 'bf16', 4],
  ['bf16', 'int8', 3],
  ['int8', 'int8', 3],
  ['nf4', 'int8', 3],
];
for (const [format, compute, seeds] of PRODUCTS) {
  test(
    `random groups on ${format} with products in ${compute}: values, moments, losses and generators are those of each run alone, byte for byte`,
    { skip: !canComputeIn(compute) },
    () => {
      const on = openAs(format, compute);
      for (let seed = 1; seed <= seeds; seed++) {
        const rng = Rng.fromSeed(seed, 'groups');
        const cases = Array.from({ length: 2 + rng.nextBelow(7) }, () => randomRun(rng, base.config));
        const { runs, events } = together(cases, 30 + rng.nextBelow(600), on);
        assert.equal(events.filter(({ type }) => type === 'finished').length, cases.length, `seed ${seed}`);
        for (const [index, one] of cases.entries()) {
          const [mine, expected] = [runs[index], alone(one, on)];
          assert.ok(bytesOf(mine).equals(bytesOf(expected)), `seed ${seed}, run ${index} of ${cases.length}`);
        }
      }
    },
  );
}

test('a pass holds no more tokens than its budget, and every run has its turn', () => {
  const rng = Rng.fromSeed(7, 'turns');
  const cases = Array.from({ length: 6 }, () => {
    const one = randomRun(rng, base.config);
    const config = { ...one.config, maxSteps: 4, batchTokens: 100, microBatchTokens: 200 };
    return { ...one, config, joinsAt: 0 };
  });
  const { events } = together(cases, 200);
  const steps = events.filter((event) => event.type === 'step');
  for (let i = 0; i + 6 <= steps.length; i += 6) {
    assert.equal(
      new Set(steps.slice(i, i + 6).map(({ id }) => id)).size,
      6,
      'one step of each before the second of any',
    );
  }
});

test('a run that diverges leaves alone, with its error; its neighbours do not notice', () => {
  const rng = Rng.fromSeed(3, 'diverging');
  const cases = Array.from({ length: 4 }, () => ({ ...randomRun(rng, base.config), joinsAt: 0 }));
  const { config } = cases[1];
  cases[1] = { ...cases[1], config: { ...config, learningRate: 1e30, maxSteps: 6, schedule: 'constant' } };
  const { runs, events } = together(cases, 10_000);
  const failures = events.filter((event) => event.type === 'failed');
  assert.deepEqual(
    failures.map(({ id, error }) => [id, error.code]),
    [['1', 'TRAINING_DIVERGED']],
  );
  for (const index of [0, 2, 3]) assert.ok(bytesOf(runs[index]).equals(bytesOf(alone(cases[index]))), `run ${index}`);
});

test('a checkpoint that was made in a group goes on alone, and the other way round', () => {
  const rng = Rng.fromSeed(5, 'resume');
  const cases = Array.from({ length: 3 }, () => {
    const one = randomRun(rng, base.config);
    return { ...one, config: { ...one.config, maxSteps: 6 }, joinsAt: 0 };
  });
  const pool = new BufferPool();
  const group = new TrainingGroup(base, pool, 150);
  const runs = cases.map((one) => runOf(one, base, pool));
  runs.forEach((run, index) => group.add(`${index}`, run));
  // Cut where some runs are inside of a step: the checkpoint is that of the step before.
  for (let pass = 0; pass < 7; pass++) group.pass();
  assert.ok(runs.some(({ state }) => state.step > 0));
  const later = new TrainingGroup(base, pool, 1000);
  const resumed = cases.map((one, index) => {
    const { config } = one;
    const path = join(folder, `resume-${index}.safetensors`);
    saveCheckpoint(path, runs[index], identityOf(config));
    const run = runOf(one, base, index === 0 ? new BufferPool() : pool);
    loadCheckpoint(path, run, identityOf(config));
    if (index > 0) later.add(`${index}`, run);
    return run;
  });
  while (!resumed[0].isDone) resumed[0].step();
  while (later.size > 0) later.pass();
  for (const [index, run] of resumed.entries())
    assert.ok(bytesOf(run).equals(bytesOf(alone(cases[index]))), `${index}`);
});

test('whether a run shares the frozen product changes no bit of its gradients', () => {
  const rng = Rng.fromSeed(11, 'sharing');
  const cases = Array.from({ length: 4 }, () => {
    const { objective: _, ...config } = randomRun(rng, base.config).config;
    const adapter = { ...defaultLoraConfig(), r: 4, lora_alpha: 16, lora_dropout: 0.2, target_modules: TARGETS[1] };
    return { config: { ...config, adapter }, data: { train: randomExamples(rng, 8), valid: [] } };
  });
  const gradients = (sharing: readonly boolean[], recompute = false): Float32Array[] => {
    const pool = new BufferPool();
    const runs = cases.map(({ config, data }) => new TrainingRun(base, data, config, pool));
    const batches = cases.map(({ data }) => packExamples(data.train));
    let end = 0;
    const spans = runs.map((run, index) => {
      const begin = end;
      end += batches[index].tokenIds_T.length;
      return { begin, end, hooks: run.openStep().hooks, sharesProduct: sharing[index] };
    });
    const parameters = runs.flatMap((run) => run.parameters);
    const tape = new Tape(kernels, pool, parameters, { recompute });
    const parts = batches.map((batch, index) => ({
      batch,
      hooks: spans[index].hooks,
      objective: runs[index].objective,
    }));
    groupStep(tape, base, spanHooks(spans), joinBatches(batches), parts);
    return parameters.map(({ gradient }) => gradient.data as Float32Array);
  };
  const shared = gradients([true, true, true, true]);
  assert.ok(shared.some((values) => values.some((value) => value !== 0)));
  for (const sharing of [
    [true, false, true, true],
    [false, false, false, false],
    [true, true, false, false],
  ])
    assert.deepEqual(gradients(sharing), shared, sharing.join(' '));
  for (const sharing of [
    [true, true, true, true],
    [true, false, true, true],
  ])
    assert.deepEqual(gradients(sharing, true), shared, `computed again, ${sharing.join(' ')}`);
});

test('a pass computes the losses of neighbours of one kind in one call, and each other one alone', () => {
  const rng = Rng.fromSeed(13, 'objectives');
  const plain = (objective?: RunConfig['objective']): RandomRun => {
    const { objective: _, ...config } = randomRun(rng, base.config).config;
    const adapter = { ...defaultLoraConfig(), r: 2, target_modules: ['q_proj'] };
    const examples = randomExamples(rng, 4);
    const train = objective ? examples.map(paired) : examples;
    const steps = { maxSteps: 1, batchTokens: 4000, microBatchTokens: 4000 };
    return {
      config: { ...config, ...steps, adapter, ...(objective && { objective }) },
      data: { train, valid: [] },
      joinsAt: 0,
    };
  };
  const calls: number[] = [];
  const counting: BaseModel = {
    ...base,
    kernels: {
      ...kernels,
      linearCrossEntropy: (...args) => {
        calls.push(args[7]);
        kernels.linearCrossEntropy(...args);
      },
    },
  };
  const cases = [plain(), plain(), plain({ name: 'simpo', beta: 2, gamma: 1 }), plain()];
  together(cases, 100_000, counting);
  const targets = cases.map(({ data }) => packExamples(data.train).targets_N.length);
  assert.deepEqual(calls, [targets[0] + targets[1], targets[2], targets[3]]);
});

test('joined batches end the rows of their segments where the batches do', () => {
  const rng = Rng.fromSeed(17, 'joining');
  const examples = randomExamples(rng, 7);
  const joined = joinBatches([packExamples(examples.slice(0, 3)), packExamples(examples.slice(3))]);
  assert.deepEqual(joined, packExamples(examples));
});
