/** Twenty steps of training against Hugging Face PEFT on torch: losses, gradients, learning rates, the adapter at the end. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readArtefact } from '../../src/adapters/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { assertClose } from '../../src/numeric/compare.ts';
import { packExamples } from '../../src/training/pack.ts';
import { replayTraining, type Replay } from '../support/replay-training.ts';
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
      const { steps, trained } = replay(name, golden);
      for (const [index, expected] of golden.losses.entries()) {
        const { loss, gradientNorm } = steps[index];
        const error = Math.abs(loss - expected) / expected;
        assert.ok(error <= LOSS_TOLERANCE, `step ${index + 1}: loss ${loss}, PEFT ${expected}`);
        assert.ok(Math.abs(gradientNorm / golden.gradNorms[index] - 1) <= 1e-3, `norm of step ${index + 1}`);
      }
      let compared = 0;
      for (const [step, gradients] of Object.entries(golden.gradients)) {
        for (const [tensor, expected] of Object.entries(gradients)) {
          const actual = steps[Number(step) - 1].gradients?.get(tensor);
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
      for (const [tensor, { data }] of trained.tensors) {
        assertClose(data, final.tensors.get(tensor)?.data ?? [], 'gradientF32', tensor);
      }
    });

    test('micro-batches of one example each give the same losses', () => {
      const { steps } = replay(name, golden, (examples) => examples.map((example) => packExamples([example])));
      for (const [index, expected] of golden.losses.entries()) {
        assert.ok(Math.abs(steps[index].loss - expected) / expected <= LOSS_TOLERANCE, `step ${index + 1}`);
      }
    });
  });
}

function replay(
  name: string,
  golden: TrainingGolden,
  microBatches?: Replay['microBatches'],
): ReturnType<typeof replayTraining> {
  const { learningRates, settings } = golden;
  const batches = golden.batches.map((batch) =>
    batch.map(({ tokenIds, lossWeights }) => ({
      tokenIds: Int32Array.from(tokenIds),
      lossWeights: Float32Array.from(lossWeights),
    })),
  );
  const initial = readArtefact(join(GOLDEN, 'peft', name, 'initial'), base);
  const keepsGradients = (step: number): boolean => String(step) in golden.gradients;
  return replayTraining(base, initial, {
    batches,
    learningRates,
    settings,
    keepsGradients,
    ...(microBatches && { microBatches }),
  });
}
