/** Runs that are trained together end in the bytes that they have alone: random groups, budgets, joining times, failures, checkpoints. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Rng } from '../base/index.ts';
import { defaultLoraConfig, parsePeftConfig, type PeftConfig } from '../formats/index.ts';
import { openBase, type BaseModel } from '../model/index.ts';
import {
  BufferPool,
  canComputeIn,
  loadNativeKernels,
  Tape,
  type ComputeDtype,
  type WeightFormat,
} from '../numeric/index.ts';
import { writeTinyBase } from '../../test/support/tiny-base.ts';
import { loadCheckpoint, saveCheckpoint, type RunIdentity } from './checkpoint.ts';
import { TrainingGroup, type GroupEvent } from './group.ts';
import { joinBatches } from './join-batches.ts';
import { DEFAULT_OPTIMIZER } from './optimizer.ts';
import { packExamples, type TokenExample } from './pack.ts';
import type { RunConfig, RunData } from './run-config.ts';
import { TrainingRun } from './run.ts';
import { spanHooks } from './span-hooks.ts';
import { groupStep } from './step.ts';

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
const VOCABULARY = 1280;
const TARGETS = [
  ['q_proj', 'v_proj'],
  ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
  ['down_proj'],
  ['gate_proj', 'q_proj'],
];

interface Case {
  readonly config: RunConfig;
  readonly data: RunData;
  /** Passes that the group has made before it joins. */
  readonly joinsAt: number;
}

/** Half of the runs have examples that begin alike. */
function randomExamples(rng: Rng, count: number): TokenExample[] {
  const beginning = Array.from({ length: 20 * rng.nextBelow(2) }, () => rng.nextBelow(VOCABULARY));
  return Array.from({ length: count }, () => {
    const length = beginning.length + 2 + rng.nextBelow(70);
    const prompt = rng.nextBelow(length - 1);
    return {
      tokenIds: Int32Array.from({ length }, (_, i) => beginning[i] ?? rng.nextBelow(VOCABULARY)),
      lossWeights: Float32Array.from({ length }, (_, i) => (i > prompt ? 1 : 0)),
    };
  });
}

function randomAdapter(rng: Rng): PeftConfig {
  const target_modules = TARGETS[rng.nextBelow(TARGETS.length)];
  const r = 1 + rng.nextBelow(9);
  const shared = { task_type: 'CAUSAL_LM', target_modules };
  switch (rng.nextBelow(9)) {
    case 0:
      return parsePeftConfig({ ...shared, peft_type: 'LORA', r, use_dora: true, lora_alpha: 16 }, 'dora');
    case 1:
      return parsePeftConfig(
        { ...shared, peft_type: 'IA3', feedforward_modules: target_modules.filter((name) => name === 'down_proj') },
        'ia3',
      );
    case 2:
      return parsePeftConfig({ ...shared, peft_type: 'LOHA', r, alpha: 8 }, 'loha');
    case 3:
      return parsePeftConfig(
        { task_type: 'CAUSAL_LM', peft_type: 'LN_TUNING', target_modules: ['norm', 'input_layernorm'] },
        'ln',
      );
    case 4:
      return virtualTokens(rng);
    default:
      return {
        ...defaultLoraConfig(),
        r,
        lora_alpha: 16,
        lora_dropout: rng.nextBelow(2) === 0 ? 0 : 0.2,
        use_rslora: rng.nextBelow(2) === 0,
        lora_bias: rng.nextBelow(2) === 0,
        target_modules,
      };
  }
}

function virtualTokens(rng: Rng): PeftConfig {
  const { hiddenSize, numLayers, numHeads, numKeyValueHeads, headWidth } = base.config;
  const sizes = { token_dim: hiddenSize, num_layers: numLayers, num_attention_heads: numHeads };
  const shared = { task_type: 'CAUSAL_LM', ...sizes, num_virtual_tokens: 1 + rng.nextBelow(5) };
  const ofKeys = { token_dim: numKeyValueHeads * headWidth, num_attention_heads: numKeyValueHeads };
  switch (rng.nextBelow(4)) {
    case 0:
      return parsePeftConfig({ ...shared, peft_type: 'PROMPT_TUNING' }, 'prompt tuning');
    case 1:
      return parsePeftConfig({ ...shared, peft_type: 'P_TUNING', encoder_hidden_size: 6 }, 'P-tuning');
    case 2:
      return parsePeftConfig({ ...shared, ...ofKeys, peft_type: 'PREFIX_TUNING' }, 'prefix tuning');
    default:
      return parsePeftConfig(
        { ...shared, ...ofKeys, peft_type: 'PREFIX_TUNING', prefix_projection: true, encoder_hidden_size: 6 },
        'prefix tuning with a projection',
      );
  }
}

function randomCase(rng: Rng): Case {
  const batchTokens = 20 + rng.nextBelow(200);
  const config: RunConfig = {
    adapter: randomAdapter(rng),
    recompute: rng.nextBelow(4) === 0,
    maxSteps: 2 + rng.nextBelow(5),
    epochs: 1,
    batchTokens,
    microBatchTokens: 10 + rng.nextBelow(batchTokens),
    learningRate: 0.03,
    schedule: 'cosine',
    warmup: 0,
    seed: rng.nextBelow(1000),
    optimizer: { ...DEFAULT_OPTIMIZER, weightDecay: 0.01 },
    evaluateEverySteps: 2,
  };
  const data = { train: randomExamples(rng, 3 + rng.nextBelow(12)), valid: randomExamples(rng, rng.nextBelow(3)) };
  return { config, data, joinsAt: rng.nextBelow(4) };
}

const identityOf = (config: RunConfig): RunIdentity => ({ base: base.digest, train: 'data', valid: null, config });

/** Everything that a run has: the bytes of its checkpoint. */
function bytesOf(run: TrainingRun): Buffer {
  const path = join(folder, 'bytes.safetensors');
  saveCheckpoint(path, run, identityOf(run.config));
  return readFileSync(path);
}

function alone({ config, data }: Case, on = base): TrainingRun {
  const run = new TrainingRun(on, data, config);
  while (!run.isDone) run.step();
  return run;
}

function together(cases: readonly Case[], maxTokens: number, on = base): { runs: TrainingRun[]; events: GroupEvent[] } {
  const pool = new BufferPool();
  const group = new TrainingGroup(on, pool, maxTokens);
  const runs = cases.map(({ config, data }) => new TrainingRun(on, data, config, pool));
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
        const cases = Array.from({ length: 2 + rng.nextBelow(7) }, () => randomCase(rng));
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
    const one = randomCase(rng);
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
  const cases = Array.from({ length: 4 }, () => ({ ...randomCase(rng), joinsAt: 0 }));
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
    const one = randomCase(rng);
    return { ...one, config: { ...one.config, maxSteps: 6 }, joinsAt: 0 };
  });
  const pool = new BufferPool();
  const group = new TrainingGroup(base, pool, 150);
  const runs = cases.map(({ config, data }) => new TrainingRun(base, data, config, pool));
  runs.forEach((run, index) => group.add(`${index}`, run));
  // Cut where some runs are inside of a step: the checkpoint is that of the step before.
  for (let pass = 0; pass < 7; pass++) group.pass();
  assert.ok(runs.some(({ state }) => state.step > 0));
  const later = new TrainingGroup(base, pool, 1000);
  const resumed = cases.map(({ config, data }, index) => {
    const path = join(folder, `resume-${index}.safetensors`);
    saveCheckpoint(path, runs[index], identityOf(config));
    const run = new TrainingRun(base, data, config, index === 0 ? new BufferPool() : pool);
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
    const one = randomCase(rng);
    const adapter = { ...defaultLoraConfig(), r: 4, lora_alpha: 16, lora_dropout: 0.2, target_modules: TARGETS[1] };
    return { ...one, config: { ...one.config, adapter } };
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
    groupStep(tape, base, spanHooks(spans), joinBatches(batches), batches);
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

test('a run that trains a part of the head is refused by name', () => {
  const one = randomCase(Rng.fromSeed(6, 'head'));
  const adapter = { ...defaultLoraConfig(), r: 2, target_modules: ['q_proj', 'lm_head'] };
  const run = new TrainingRun(base, one.data, { ...one.config, adapter });
  const group = new TrainingGroup(base, new BufferPool(), 100);
  assert.throws(() => group.add('head', run), { code: 'CONFIG_INVALID', message: /head.*espalier train/ });
  // Alone it is trained.
  run.step();
  assert.equal(run.state.step, 1);
});

test('a run with another objective is refused by its name', () => {
  const { config, data } = randomCase(Rng.fromSeed(13, 'objectives'));
  const pairs = data.train.map((example) => ({ ...example, ends: [1, example.tokenIds.length] }));
  const objective = { name: 'simpo', beta: 2, gamma: 1 } as const;
  const pool = new BufferPool();
  const run = new TrainingRun(base, { train: pairs, valid: [] }, { ...config, objective }, pool);
  const group = new TrainingGroup(base, pool, 1000);
  assert.throws(() => group.add('pairs', run), { code: 'CONFIG_INVALID', message: /simpo.*espalier train/ });
  assert.equal(group.size, 0);
});

test('joined batches end the rows of their segments where the batches do', () => {
  const rng = Rng.fromSeed(17, 'joining');
  const examples = randomExamples(rng, 7);
  const joined = joinBatches([packExamples(examples.slice(0, 3)), packExamples(examples.slice(3))]);
  assert.deepEqual(joined, packExamples(examples));
});
