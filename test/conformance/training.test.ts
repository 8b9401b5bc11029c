/** Twenty steps of training against Hugging Face PEFT on torch: losses, gradients, learning rates, the adapter at the end. */
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readArtefact } from '../../src/adapters/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { packExamples } from '../../src/training/pack.ts';
import { replayTraining, type Replay } from '../support/replay-training.ts';
import { assertLosses, assertTrainedAlike, type TrainedGolden } from '../support/training-golden.ts';
import { GOLDEN, readGolden } from './goldens.ts';

interface TrainingGolden extends TrainedGolden {
  readonly settings: { weight_decay: number; betas: [number, number]; eps: number; max_grad_norm: number };
  readonly learningRates: readonly number[];
  readonly batches: readonly (readonly { tokenIds: number[]; lossWeights: number[] }[])[];
}

const base = loadBase(join(GOLDEN, 'models', 'tiny-llama'), 'tiny-llama', loadNativeKernels(), 'f32');

for (const name of ['lora-train', 'lora-train-warmup-cosine']) {
  describe(name, () => {
    const golden = readGolden<TrainingGolden>('peft', name, 'golden.json');

    test('losses, gradients and the final adapter are PEFT’s', () => {
      assertTrainedAlike(replay(name, golden), golden, readArtefact(join(GOLDEN, 'peft', name, 'final'), base));
    });

    test('micro-batches of one example each give the same losses', () => {
      const packing = replay(name, golden, (examples) => examples.map((example) => packExamples([example])));
      assertLosses(packing, golden);
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
