/** Runs whose first values or steps depend on more than the seed resume to the same bytes, alone and in a group. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readArtefact, compileAdapter } from '../adapters/index.ts';
import { Rng } from '../base/index.ts';
import { defaultLoraConfig, parsePeftConfig, type LoraConfig, type PeftConfig } from '../formats/index.ts';
import { loadBase, openSource, type LinearSite } from '../model/index.ts';
import { BufferPool, loadNativeKernels, type Floats } from '../numeric/index.ts';
import { writeTinyBase } from '../../test/support/tiny-base.ts';
import { loadCheckpoint, saveCheckpoint } from './checkpoint.ts';
import { TrainingGroup } from './group.ts';
import type { LoraTraining } from './lora-start.ts';
import { DEFAULT_OPTIMIZER } from './optimizer.ts';
import type { RunConfig } from './run-config.ts';
import { TrainingRun } from './run.ts';
import { writeAdapter } from './write-adapter.ts';

const folder = mkdtempSync(join(tmpdir(), 'espalier-start-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, 'base');
writeTinyBase(path);
const kernels = loadNativeKernels();
const plain = loadBase(path, 'tiny', kernels, 'f32');
const quantised = loadBase(path, 'tiny', kernels, 'nf4');
const source = openSource(path);
after(() => source.close());
const original = (site: LinearSite): Floats => source.read(`${site.path}.weight`);

const target_modules = ['q_proj', 'v_proj', 'down_proj'];
const plainLora: LoraConfig = { ...defaultLoraConfig(), target_modules, r: 3, lora_dropout: 0.1 };
const ADALORA = { peft_type: 'ADALORA', target_modules, target_r: 1, init_r: 3, total_step: 10, tinit: 2, tfinal: 3 };

const rng = Rng.fromSeed(8, 'examples');
const data = {
  train: Array.from({ length: 24 }, () => {
    const length = 6 + rng.nextBelow(20);
    return {
      tokenIds: Int32Array.from({ length }, () => rng.nextBelow(1280)),
      lossWeights: Float32Array.from({ length }, (_, i) => (i > 2 ? 1 : 0)),
    };
  }),
  valid: [],
};

const STEPS = 6;
const configOf = (adapter: PeftConfig, lora?: LoraTraining): RunConfig => ({
  adapter,
  maxSteps: STEPS,
  epochs: 1,
  batchTokens: 64,
  microBatchTokens: 40,
  learningRate: 2e-3,
  schedule: 'constant',
  warmup: 0,
  seed: 3,
  optimizer: { ...DEFAULT_OPTIMIZER, ...(lora && { rateRatio: 4 }) },
  evaluateEverySteps: 100,
  ...(lora && { lora }),
});

const CASES: Readonly<Record<string, RunConfig>> = {
  adalora: configOf(parsePeftConfig(ADALORA, 'test')),
  pissa: configOf(plainLora, { start: 'pissa' }),
  'pissa beside a trained norm': configOf({ ...plainLora, modules_to_save: ['norm'] }, { start: 'pissa' }),
  olora: configOf(plainLora, { start: 'olora' }),
  eva: configOf(plainLora, { start: 'eva', freezeA: true }),
  loftq: configOf(plainLora, { start: 'loftq' }),
  'lora-ga': configOf(plainLora, { start: 'lora-ga' }),
};

function train(run: TrainingRun, steps: number): void {
  while (run.state.step < steps) run.step();
}

for (const [name, config] of Object.entries(CASES)) {
  const base = name === 'loftq' ? quantised : plain;
  const identity = { base: base.digest, train: 'data', valid: null, config };
  const make = (pool = new BufferPool()): TrainingRun => new TrainingRun(base, data, config, pool, { original });
  const checkpoint = (run: TrainingRun, file: string): Buffer => {
    saveCheckpoint(join(folder, file), run, identity);
    return readFileSync(join(folder, file));
  };

  test(`${name}: training ${STEPS} steps is training ${STEPS / 2} and resuming, byte for byte, alone and in a group`, () => {
    const whole = make();
    train(whole, STEPS);
    const expected = checkpoint(whole, 'whole');
    const half = make();
    train(half, STEPS / 2);
    saveCheckpoint(join(folder, 'half'), half, identity);
    const resumed = make();
    loadCheckpoint(join(folder, 'half'), resumed, identity);
    train(resumed, STEPS);
    assert.ok(checkpoint(resumed, 'resumed').equals(expected));

    const pool = new BufferPool();
    const [first, second] = [make(pool), make(pool)];
    const group = new TrainingGroup(base, pool, 200);
    group.add('first', first);
    group.add('second', second);
    while (group.size > 0) group.pass();
    for (const run of [first, second]) assert.ok(checkpoint(run, 'grouped').equals(expected));
  });

  test(`${name}: what is written is a PEFT folder that fits the base`, () => {
    const run = make();
    train(run, STEPS);
    const output = join(folder, `out-${name}`);
    writeAdapter(output, { base: { path }, baseModelName: 'tiny' }, base, run, run.finalValues());
    const adapter = readArtefact(output, base);
    const { sites } = compileAdapter(adapter, base);
    if (adapter.config.peft_type === 'ADALORA') {
      const kept = Object.values(adapter.config.rank_pattern ?? {}).flat();
      assert.equal(kept.filter(Boolean).length, 6, 'one rank a module on average');
      assert.ok(sites.size <= 6);
    } else {
      assert.ok(adapter.config.peft_type === 'LORA');
      assert.equal(adapter.config.r, run.takenOff ? 6 : 3);
      assert.equal(run.takenOff !== undefined, ['pissa', 'olora', 'lora-ga'].includes(name.split(' ')[0]));
      const norm = adapter.tensors.get('base_model.model.model.norm.weight');
      assert.equal(norm !== undefined, name.endsWith('norm'));
      if (norm)
        assert.ok(
          norm.data.every((gain, i) => gain !== plain.finalNorm.data[i]),
          'the norm has learned',
        );
      assert.equal(sites.size, 6);
    }
  });
}

test('a start is refused where it has no meaning, by name', () => {
  const refused = (adapter: PeftConfig, lora: LoraTraining): void =>
    assert.throws(() => new TrainingRun(plain, data, configOf(adapter, lora), undefined, { original }), {
      code: 'CONFIG_INVALID',
    });
  refused(parsePeftConfig(ADALORA, 'test'), { start: 'pissa' });
  refused({ ...defaultLoraConfig(), use_dora: true }, { start: 'olora' });
  refused(plainLora, { start: 'loftq' });
  refused({ ...plainLora, target_modules: ['q_proj', 'embed_tokens'] }, { start: 'pissa' });
  refused({ ...defaultLoraConfig(), r: 500 }, { start: 'pissa' });
});

test('too few steps for AdaLoRA’s budget are refused', () => {
  const config = configOf(parsePeftConfig({ ...ADALORA, tinit: 5, tfinal: 4 }, 'test'));
  assert.throws(() => new TrainingRun(plain, data, { ...config, maxSteps: 1 }), {
    code: 'CONFIG_INVALID',
    param: 'total_step',
  });
});
