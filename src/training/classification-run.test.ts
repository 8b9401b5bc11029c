/** Runs with a classification head: it is learned, resumes to the same bytes, and is written with its labels. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { compileAdapter, readArtefact } from '../adapters/index.ts';
import { Rng } from '../base/index.ts';
import { CLASSIFICATION, CLASSIFIER_MODULES, defaultLoraConfig, scoreName } from '../formats/index.ts';
import { loadBase } from '../model/index.ts';
import { loadNativeKernels } from '../numeric/index.ts';
import { writeTinyBase } from '../../test/support/tiny-base.ts';
import { loadCheckpoint, saveCheckpoint } from './checkpoint.ts';
import { writeAdapter } from './write-adapter.ts';
import { DEFAULT_OPTIMIZER } from './optimizer.ts';
import type { TokenExample } from './pack.ts';
import type { RunConfig } from './run-config.ts';
import { TrainingRun } from './run.ts';

const folder = mkdtempSync(join(tmpdir(), 'espalier-classes-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, 'base');
writeTinyBase(path);
const base = loadBase(path, 'tiny', loadNativeKernels(), 'f32');

const LABELS = ['first', 'second', 'third'];
const rng = Rng.fromSeed(8, 'examples');
/** What an example is, its last token says. */
const examples = Array.from({ length: 60 }, (_, n): TokenExample => {
  const length = 4 + rng.nextBelow(12);
  const tokenIds = Int32Array.from({ length }, () => rng.nextBelow(1280));
  tokenIds[length - 1] = 100 + (n % 3);
  return { tokenIds, lossWeights: new Float32Array(length), label: n % 3 };
});
const data = { train: examples.slice(0, 48), valid: examples.slice(48) };

const config: RunConfig = {
  adapter: {
    ...defaultLoraConfig(),
    task_type: CLASSIFICATION,
    modules_to_save: [...CLASSIFIER_MODULES],
    target_modules: ['q_proj', 'v_proj', 'down_proj'],
    lora_dropout: 0.05,
  },
  objective: { name: 'classification', labels: LABELS },
  maxSteps: 60,
  epochs: 1,
  batchTokens: 160,
  microBatchTokens: 60,
  learningRate: 5e-3,
  schedule: 'constant',
  warmup: 0,
  seed: 3,
  optimizer: DEFAULT_OPTIMIZER,
  evaluateEverySteps: 20,
};

function write(run: TrainingRun, name: string): string {
  const to = join(folder, name);
  writeAdapter(to, { baseModelName: 'tiny', base: { path } }, base, run, run.finalValues());
  return to;
}

test('the labels are learned, and a run that was cut off ends in the same bytes', () => {
  const whole = new TrainingRun(base, data, config);
  const score = whole.parameters.find(({ name }) => name === scoreName(config.adapter));
  assert.deepEqual(score?.value.shape, [3, base.config.hiddenSize]);
  const first = Float32Array.from(score?.value.data ?? []);
  const spread = Math.sqrt(first.reduce((sum, value) => sum + value * value, 0) / first.length);
  assert.ok(spread > 0.015 && spread < 0.025, `the head begins with N(0, 0.02), its spread is ${spread}`);
  const checkpoint = join(folder, 'checkpoint.safetensors');
  const identity = { base: 'b', train: 't', valid: null, config };
  while (!whole.isDone) {
    whole.step();
    if (whole.state.step === 7) saveCheckpoint(checkpoint, whole, identity);
  }
  assert.ok(Math.abs((score?.value.data[0] ?? 0) - first[0]) > 0, 'the head is trained');
  const { loss, accuracy } = whole.evaluate(data.valid);
  assert.ok(accuracy >= 0.9 && loss < 0.5, `held-out: loss ${loss}, accuracy ${accuracy}`);
  const right = whole.classify(data.valid).filter((label, n) => label === data.valid[n].label);
  assert.equal(right.length / data.valid.length, accuracy);

  const resumed = new TrainingRun(base, data, config);
  loadCheckpoint(checkpoint, resumed, identity);
  while (!resumed.isDone) resumed.step();
  const [a, b] = [write(whole, 'whole'), write(resumed, 'resumed')];
  for (const file of ['adapter_model.safetensors', 'adapter_config.json']) {
    assert.deepEqual(readFileSync(join(a, file)), readFileSync(join(b, file)));
  }
  const adapter = readArtefact(a, base);
  assert.deepEqual(adapter.classes?.labels, LABELS);
  const { head } = compileAdapter(adapter, base);
  assert.deepEqual(head?.kind === 'classes' && head.labels, LABELS);
});

test('objective and adapter must agree, and what a head cannot be trained with is said', () => {
  const { objective: _, ...without } = config;
  const causal = { ...config, adapter: defaultLoraConfig() };
  for (const wrong of [without, causal]) {
    assert.throws(() => new TrainingRun(base, data, wrong), { code: 'CONFIG_INVALID', param: 'objective' });
  }
  for (const start of ['eva', 'lora-ga'] as const) {
    const started: RunConfig = { ...config, lora: { start } };
    assert.throws(() => new TrainingRun(base, data, started), {
      code: 'CONFIG_INVALID',
      message: /which a classification has none of/,
    });
  }
  const pissa = new TrainingRun(base, data, { ...config, maxSteps: 2, lora: { start: 'pissa' } });
  while (!pissa.isDone) pissa.step();
  assert.deepEqual(readArtefact(write(pissa, 'pissa'), base).classes?.labels, LABELS);
});
