/** Twenty steps of training against Hugging Face PEFT on torch: losses, gradients, learning rates, the adapter at the end. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { methodOf, readArtefact } from '../../src/adapters/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { BufferPool, loadNativeKernels, Tape, type Parameter } from '../../src/numeric/index.ts';
import { assertClose } from '../../src/numeric/compare.ts';
import { applyGradients, zeroMoments } from '../../src/training/optimizer.ts';
import { packExamples, type PackedBatch } from '../../src/training/pack.ts';
import { trainStep } from '../../src/training/step.ts';
import { floatsOf, GOLDEN, readGolden, type GoldenArray } from './goldens.ts';

interface TrainingGolden {
  readonly settings: { weight_decay: number; betas: [number, number]; eps: number; max_grad_norm: number };
  readonly learningRates: readonly number[];
  readonly batches: readonly (readonly { tokenIds: number[]; lossWeights: number[] }[])[];
  readonly losses: readonly number[];
  readonly gradNorms: readonly number[];
  readonly gradients: Readonly<Record<string, Readonly<Record<string, GoldenArray>>>>;
}

/** Loss of a step relative to PEFT's; the bar. */
const LOSS_TOLERANCE = 1e-4;

const base = loadBase(join(GOLDEN, 'models', 'tiny-llama'), 'tiny-llama', loadNativeKernels(), 'f32');

for (const name of ['lora-train', 'lora-train-warmup-cosine']) {
  describe(name, () => {
    const golden = readGolden<TrainingGolden>('peft', name, 'golden.json');

    test('losses, gradients and the final adapter are PEFT’s', () => {
      const run = replay(name, golden, (examples) => [packExamples(examples)]);
      for (const [index, expected] of golden.losses.entries()) {
        const error = Math.abs(run.losses[index] - expected) / expected;
        assert.ok(error <= LOSS_TOLERANCE, `step ${index + 1}: loss ${run.losses[index]}, PEFT ${expected}`);
        assert.ok(Math.abs(run.norms[index] / golden.gradNorms[index] - 1) <= 1e-3, `norm of step ${index + 1}`);
      }
      let compared = 0;
      for (const [step, gradients] of Object.entries(golden.gradients)) {
        for (const [tensor, expected] of Object.entries(gradients)) {
          const actual = run.gradients.get(`${step} ${tensor}`);
          assert.ok(actual, `${tensor} has a gradient in step ${step}`);
          const values = floatsOf(expected);
          // With B = 0, A gets exactly no gradient: nothing to compare by norm.
          if (values.every((value) => value === 0))
            assert.ok(
              actual.every((value) => value === 0),
              tensor,
            );
          else assertClose(actual, values, 'gradientF32', `step ${step}, ${tensor}`);
          compared++;
        }
      }
      assert.ok(compared > 0, 'the golden has gradients');
      const final = readArtefact(join(GOLDEN, 'peft', name, 'final'), base);
      for (const { name: tensor, value } of run.parameters) {
        assertClose(value.data, final.tensors.get(tensor)?.data ?? [], 'gradientF32', tensor);
      }
    });

    test('micro-batches of one example each give the same losses', () => {
      const run = replay(name, golden, (examples) => examples.map((example) => packExamples([example])));
      for (const [index, expected] of golden.losses.entries()) {
        assert.ok(Math.abs(run.losses[index] - expected) / expected <= LOSS_TOLERANCE, `step ${index + 1}`);
      }
    });
  });
}

interface Replay {
  readonly losses: number[];
  readonly norms: number[];
  /** Mean gradients by `step tensor`. */
  readonly gradients: Map<string, Float32Array>;
  readonly parameters: readonly Parameter[];
}

type Example = { readonly tokenIds: Int32Array; readonly lossWeights: Float32Array };

function replay(name: string, golden: TrainingGolden, microBatches: (examples: Example[]) => PackedBatch[]): Replay {
  const { config, tensors } = readArtefact(join(GOLDEN, 'peft', name, 'initial'), base);
  const parameters = [...tensors].map(([tensor, value]): Parameter => {
    const gradient = { shape: value.shape, data: new Float32Array(value.data.length) };
    return { name: tensor, value: { shape: value.shape, data: Float32Array.from(value.data) }, gradient };
  });
  const values = new Map(parameters.map((parameter) => [parameter.name, parameter.value]));
  const hooks = methodOf(config).bind(config, base.sites, values, { dropoutRng: undefined });
  const tape = new Tape(base.kernels, new BufferPool(), parameters);
  const moments = zeroMoments(parameters);
  const { settings } = golden;
  const replayed: Replay = { losses: [], norms: [], gradients: new Map(), parameters };
  for (const [index, batch] of golden.batches.entries()) {
    const examples = batch.map(({ tokenIds, lossWeights }) => ({
      tokenIds: Int32Array.from(tokenIds),
      lossWeights: Float32Array.from(lossWeights),
    }));
    let [lossSum, weightSum] = [0, 0];
    for (const packed of microBatches(examples)) {
      const loss = trainStep(tape, base, hooks, packed);
      lossSum += loss.lossSum;
      weightSum += loss.weightSum;
    }
    for (const { name: tensor, gradient } of parameters) {
      replayed.gradients.set(
        `${index + 1} ${tensor}`,
        Float32Array.from(gradient.data, (value) => value / weightSum),
      );
    }
    const applied = applyGradients(
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
      { weightSum, learningRate: golden.learningRates[index], step: index + 1 },
    );
    replayed.losses.push(lossSum / weightSum);
    replayed.norms.push(applied.gradientNorm);
  }
  return replayed;
}
