/** The tape against central differences in float64, through whole models of every family: no gradient of ours is trusted unseen. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { trainableMethodOf } from '../../src/adapters/index.ts';
import { Rng } from '../../src/base/index.ts';
import { defaultLoraConfig } from '../../src/formats/index.ts';
import { loadBase, type BaseModel } from '../../src/model/index.ts';
import { BufferPool, Inference, referenceKernels, Tape, type Parameter } from '../../src/numeric/index.ts';
import { assertClose, compareToReference } from '../../src/numeric/compare.ts';
import { packExamples, type PackedBatch } from '../../src/training/pack.ts';
import { evaluateStep, trainStep } from '../../src/training/step.ts';
import { GOLDEN } from './goldens.ts';

const STEP = 1e-5;
/** Truncation of the differences at this step (about 1e-9) and cancellation in the loss (about 1e-10 / 1e-5). */
const TOLERANCE = 1e-6;
const SAMPLES = 4;

function makeParameters(base: BaseModel, rng: Rng): Parameter[] {
  const config = { ...defaultLoraConfig(), r: 2, lora_alpha: 4, target_modules: 'all-linear' };
  return trainableMethodOf(config)
    .parameters(config, base.sites, base.config)
    .map(({ name, shape }) => {
      const size = shape.reduce((product, length) => product * length, 1);
      const data = Float64Array.from({ length: size }, () => 0.2 * rng.nextNormal());
      return { name, value: { shape, data }, gradient: { shape, data: new Float64Array(size) } };
    });
}

function hooksOf(base: BaseModel, parameters: readonly Parameter[]) {
  const config = { ...defaultLoraConfig(), r: 2, lora_alpha: 4, target_modules: 'all-linear' };
  const tensors = new Map(parameters.map(({ name, value }) => [name, value]));
  return trainableMethodOf(config).bind(config, base, tensors, { dropoutRng: undefined });
}

function twoSegments(vocabSize: number, rng: Rng): PackedBatch {
  const example = (length: number) => ({
    tokenIds: Int32Array.from({ length }, () => rng.nextBelow(vocabSize)),
    lossWeights: Float32Array.from({ length }, (_, i) => (i % 3 === 0 ? 0 : 0.5)),
  });
  return packExamples([example(5), example(4)]);
}

for (const model of ['tiny-llama', 'tiny-llama3', 'tiny-qwen2', 'tiny-qwen3']) {
  test(`${model}: gradients of an all-linear adapter are central differences`, () => {
    const rng = Rng.fromSeed(11, model);
    const base = loadBase(join(GOLDEN, 'models', model), model, referenceKernels(), 'f32');
    const parameters = makeParameters(base, rng);
    const batch = twoSegments(base.config.vocabSize, rng);
    const hooks = hooksOf(base, parameters);
    const pool = new BufferPool('f64');
    const g = new Inference(base.kernels, pool);
    trainStep(new Tape(base.kernels, pool, parameters), base, hooks, batch);
    const lossAt = (): number => evaluateStep(g, base, hooks, batch).lossSum;
    const analytic: number[] = [];
    const numeric: number[] = [];
    for (const { value, gradient } of parameters) {
      for (let sample = 0; sample < SAMPLES; sample++) {
        const i = rng.nextBelow(value.data.length);
        const kept = value.data[i];
        value.data[i] = kept + STEP;
        const above = lossAt();
        value.data[i] = kept - STEP;
        const below = lossAt();
        value.data[i] = kept;
        analytic.push(gradient.data[i]);
        numeric.push((above - below) / (2 * STEP));
      }
    }
    assertClose(analytic, numeric, TOLERANCE, 'gradients');
    // A mutant: one gradient in fifty with the wrong sign must not pass.
    const wrong = analytic.map((value, i) => (i % 50 === 0 ? -value : value));
    assert.equal(compareToReference(wrong, numeric, TOLERANCE).passes, false);
  });
}

test('a step gives all its buffers back: the second takes none', () => {
  const rng = Rng.fromSeed(5);
  const base = loadBase(join(GOLDEN, 'models', 'tiny-llama'), 'tiny-llama', referenceKernels(), 'f32');
  const parameters = makeParameters(base, rng);
  const batch = twoSegments(base.config.vocabSize, rng);
  const pool = new BufferPool('f64');
  const tape = new Tape(base.kernels, pool, parameters);
  trainStep(tape, base, hooksOf(base, parameters), batch);
  const { bytes } = pool;
  assert.ok(bytes > 0);
  trainStep(tape, base, hooksOf(base, parameters), batch);
  assert.equal(pool.bytes, bytes);
});
