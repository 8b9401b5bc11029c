/** Full fine-tuning against torch: every weight's gradient, losses of twenty steps, and the folder that it leaves. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Rng } from '../../src/base/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { assertClose } from '../../src/numeric/compare.ts';
import { BufferPool, loadNativeKernels, sizeOf, Tape } from '../../src/numeric/index.ts';
import { FULL_CONFIG, packExamples, trainedMethodOf, trainStep, type TrainResult } from '../../src/training/index.ts';
import { applyGradients, clearGradients, zeroMoments } from '../../src/training/optimizer.ts';
import { planFrom, presetModel } from '../../src/planning/index.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { run, runJson, TemporaryFolder } from '../support/processes.ts';
import type { ReplaySettings } from '../support/replay-training.ts';
import { writeTinyBase } from '../support/tiny-base.ts';
import { writeChats } from '../support/training-files.ts';
import { floatsOf, GOLDEN, readGolden, type GoldenArray } from './goldens.ts';

interface FullGolden {
  readonly settings: ReplaySettings;
  readonly losses: readonly number[];
  readonly learningRates: readonly number[];
  readonly gradNorms: readonly number[];
  readonly batches: readonly (readonly { tokenIds: number[]; lossWeights: number[] }[])[];
  readonly gradients: Readonly<Record<string, GoldenArray>>;
  readonly final: Readonly<Record<string, number>>;
}

/** Relative to torch's; the bars. */
const LOSS_TOLERANCE = 1e-4;
const NORM_TOLERANCE = 1e-3;

for (const name of ['tiny-llama', 'tiny-qwen2', 'tiny-qwen3']) {
  for (const recompute of [false, true]) {
    test(`${name}${recompute ? ', recomputed' : ''}: losses, gradients and final weights are torch’s`, () => {
      const golden = readGolden<FullGolden>('full', `${name}.json`);
      const base = loadBase(join(GOLDEN, 'models', name), name, loadNativeKernels(), 'f32');
      const method = trainedMethodOf(FULL_CONFIG);
      const parameters = method.parameters(base.sites, base.config).map((parameter) => {
        const { name: tensor, shape } = parameter;
        const value = { shape, data: new Float32Array(sizeOf(shape)) };
        method.initialise(parameter, value.data, Rng.fromSeed(0), base);
        return { name: tensor, value, gradient: { shape, data: new Float32Array(value.data.length) } };
      });
      assert.deepEqual(parameters.map((one) => one.name).toSorted(), Object.keys(golden.final).toSorted());
      const tensors = new Map(parameters.map((one) => [one.name, one.value]));
      const hooks = method.bind(base, tensors, { dropoutRng: undefined });
      const tape = new Tape(base.kernels, new BufferPool(), parameters, { recompute });
      const moments = zeroMoments(parameters);
      const { settings } = golden;
      for (const [index, learningRate] of golden.learningRates.entries()) {
        const examples = golden.batches[index % golden.batches.length].map(({ tokenIds, lossWeights }) => ({
          tokenIds: Int32Array.from(tokenIds),
          lossWeights: Float32Array.from(lossWeights),
        }));
        const { lossSum, weightSum } = trainStep(tape, base, hooks, packExamples(examples));
        const [loss, expected] = [lossSum / weightSum, golden.losses[index]];
        assert.ok(
          Math.abs(loss - expected) / expected <= LOSS_TOLERANCE,
          `step ${index + 1}: ${loss}, torch ${expected}`,
        );
        if (index === 0) {
          for (const [tensor, gradient] of Object.entries(golden.gradients)) {
            const { data } = parameters.find((one) => one.name === tensor)?.gradient ?? assert.fail(tensor);
            assertClose(
              data.map((value) => value / weightSum),
              floatsOf(gradient),
              'gradientF32',
              tensor,
            );
          }
        }
        const { gradientNorm } = applyGradients(
          base.kernels,
          parameters,
          moments,
          {
            beta1: settings.betas[0],
            beta2: settings.betas[1],
            epsilon: settings.eps,
            weightDecay: settings.weight_decay,
            maxGradientNorm: settings.max_grad_norm,
          },
          { weightSum, learningRate, step: index + 1 },
        );
        clearGradients(parameters);
        assert.ok(Math.abs(gradientNorm / golden.gradNorms[index] - 1) <= NORM_TOLERANCE, `norm of step ${index + 1}`);
      }
      for (const { name: tensor, value } of parameters) {
        const squares = value.data.reduce((sum, x) => sum + x * x, 0);
        assert.ok(Math.abs(squares / golden.final[tensor] - 1) < 1e-4, `${tensor} at the end`);
      }
    });
  }
}

describe('espalier train --method full', () => {
  test(
    'leaves a model that models import takes and that has learned; what is no adapter is not published',
    { timeout: 120_000 },
    async () => {
      using folder = new TemporaryFolder();
      const home = folder.join('home');
      writeTinyBase(folder.join('tiny'));
      const data = folder.join('train.jsonl');
      writeChats(data, { count: 24, words: 6, seed: 1 });
      const options = ['--method', 'full', '--base', folder.join('tiny'), '--data', data, '--learning-rate', '3e-3'];
      const steps = ['--max-steps', '8', '--batch-tokens', '512', '--valid-share', '0', '--checkpoint-every', '3'];
      const result = await runJson<TrainResult>(['train', ...options, ...steps, '--output', folder.join('full')], {
        home,
      });
      assert.equal(result.trainableParameters, result.totalParameters);
      assert.ok(result.trainLosses[7] < 0.9 * result.trainLosses[0]);
      await runJson(['models', 'import', folder.join('full'), '--name', 'tuned'], { home });
      const evaluated = await runJson<{ value: number }>(
        ['evaluate', '--base', 'tuned', '--data', data, '--metric', 'loss', '--format', 'f32'],
        { home },
      );
      const before = await runJson<{ value: number }>(
        ['evaluate', '--base', folder.join('tiny'), '--data', data, '--metric', 'loss', '--format', 'f32'],
        { home },
      );
      assert.ok(evaluated.value < 0.9 * before.value, `${before.value} -> ${evaluated.value}`);
      const kernels = loadNativeKernels();
      const tuned = loadBase(folder.join('full'), 'tuned', kernels, 'f32');
      const own = loadBase(folder.join('tiny'), 'tiny', kernels, 'f32');
      assert.notDeepEqual(forwardLogits(tuned, [[1, 2, 3]]), forwardLogits(own, [[1, 2, 3]]));
      const again = await runJson<TrainResult & { isSame: boolean }>(
        [
          'train',
          '--from-run',
          folder.join('full', 'run', 'run.json'),
          '--base',
          folder.join('tiny'),
          '--output',
          folder.join('again'),
        ],
        { home },
      );
      assert.equal(again.digest, result.digest);
      const published = await run(
        ['train', ...options, ...steps, '--output', folder.join('no'), '--publish', 'acme/full'],
        { home },
      );
      assert.match(published.stderr, /no adapter to publish/);
      assert.ok(!existsSync(folder.join('no')));
      const foreign = await run(['train', ...options, '--rank', '4', '--output', folder.join('no')], { home });
      assert.match(foreign.stderr, /--rank is no option of --method full/);
    },
  );
});

test('the plan of a full run counts what it holds: all weights, gradients and moments in float32', () => {
  const plan = planFrom({ model: presetModel('smollm2-135m'), method: 'full', fullRecipe: 'all f32 (espalier train)' });
  const n = plan.model.parameters.total;
  const bytesOf = (part: string): number => plan.training.parts.find((one) => one.part === part)?.bytes ?? 0;
  assert.deepEqual([bytesOf('weights'), bytesOf('gradients'), bytesOf('optimizer')], [4 * n, 4 * n, 8 * n]);
  const lora = planFrom({ model: presetModel('smollm2-135m'), method: 'lora', rank: 8 });
  const state = (of: typeof plan): number =>
    of.training.parts
      .filter(({ part }) => ['gradients', 'optimizer'].includes(part))
      .reduce((sum, { bytes }) => sum + bytes, 0);
  assert.ok(state(plan) > 100 * state(lora));
});
