/** Activations that are computed again on the way back: the same gradients bit for bit, for less memory. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { trainableMethodOf } from '../../src/adapters/index.ts';
import { Rng } from '../../src/base/index.ts';
import { defaultLoraConfig } from '../../src/formats/index.ts';
import { loadBase, type BaseModel } from '../../src/model/index.ts';
import { assertBitEqual } from '../../src/numeric/compare.ts';
import { BufferPool, loadNativeKernels, Tape, type Parameter } from '../../src/numeric/index.ts';
import { packExamples, trainStep, type BatchLoss } from '../../src/training/index.ts';
import { writeTinyBase } from '../support/tiny-base.ts';

const folder = mkdtempSync(join(tmpdir(), 'espalier-recompute-'));
after(() => rmSync(folder, { recursive: true }));
writeTinyBase(folder);
const kernels = loadNativeKernels({ threads: 1 });

interface Step {
  readonly losses: readonly BatchLoss[];
  readonly gradients: readonly Float32Array[];
  /** Where the generator of dropout stands afterwards. */
  readonly generator: readonly number[];
  readonly peakBytes: number;
}

/** Two micro-batches of one step, with dropout. */
function step(base: BaseModel, recompute: boolean): Step {
  const config = {
    ...defaultLoraConfig(),
    r: 4,
    lora_dropout: 0.25,
    target_modules: ['q_proj', 'o_proj', 'down_proj'],
  };
  const method = trainableMethodOf(config);
  const parameters = method.parameters(config, base.sites, base.config).map(({ name, shape }): Parameter => {
    const rng = Rng.fromSeed(7, name);
    const size = shape.reduce((product, length) => product * length, 1);
    // B is not zero: every parameter's gradient counts.
    const data = Float32Array.from({ length: size }, () => 0.1 * rng.nextNormal());
    return { name, value: { shape, data }, gradient: { shape, data: new Float32Array(size) } };
  });
  const dropoutRng = Rng.fromSeed(3, 'dropout');
  const tensors = new Map(parameters.map(({ name, value }) => [name, value]));
  const hooks = method.bind(config, base, tensors, { dropoutRng });
  const pool = new BufferPool();
  const tape = new Tape(kernels, pool, parameters, { recompute });
  const losses = [1, 2].map((seed) => {
    const rng = Rng.fromSeed(seed, 'tokens');
    const examples = [40, 23, 1, 64].map((length) => ({
      tokenIds: Int32Array.from({ length }, () => rng.nextBelow(base.config.vocabSize)),
      lossWeights: new Float32Array(length).fill(0.5),
    }));
    return trainStep(tape, base, hooks, packExamples(examples));
  });
  return {
    losses,
    gradients: parameters.map(({ gradient }) => gradient.data as Float32Array),
    generator: dropoutRng.state,
    peakBytes: pool.peakBytes,
  };
}

for (const format of ['f32', 'nf4'] as const) {
  test(`${format}: losses, gradients and the generator are the same bit for bit, and the memory is less`, () => {
    const base = loadBase(folder, 'tiny', kernels, format);
    const [kept, recomputed] = [step(base, false), step(base, true)];
    assert.deepEqual(recomputed.losses, kept.losses);
    assert.deepEqual(recomputed.generator, kept.generator);
    assert.equal(recomputed.gradients.length, 2 * 2 * 3);
    for (const [i, gradient] of recomputed.gradients.entries()) {
      assert.ok(gradient.some((value) => value !== 0));
      assertBitEqual(gradient, kept.gradients[i]);
    }
    // Two layers: one of them is held at a time, beside what the step needs anyhow.
    assert.ok(recomputed.peakBytes < 0.8 * kept.peakBytes, `${recomputed.peakBytes} of ${kept.peakBytes} bytes`);
  });
}
