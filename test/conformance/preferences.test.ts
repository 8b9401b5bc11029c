/** Five steps of every preference objective against torch's autograd through Hugging Face PEFT: losses, gradients, gradient norms. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readArtefact } from '../../src/adapters/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { assertClose, compareToReference } from '../../src/numeric/compare.ts';
import type { ObjectiveConfig } from '../../src/training/objectives/objective.ts';
import type { TokenExample } from '../../src/training/pack.ts';
import { replayTraining, type ReplayedStep, type ReplaySettings } from '../support/replay-training.ts';
import { floatsOf, GOLDEN, readGolden, type GoldenArray } from './goldens.ts';

interface Pair {
  readonly prompt: readonly number[];
  readonly answers: readonly [readonly number[], readonly number[]];
  readonly isDesirable: boolean;
}

interface PreferenceGolden {
  readonly settings: ReplaySettings & { readonly learning_rate: number };
  readonly batches: readonly (readonly Pair[])[];
  readonly runs: Readonly<
    Record<
      string,
      {
        readonly config: ObjectiveConfig;
        readonly losses: readonly number[];
        readonly gradNorms: readonly number[];
        readonly gradients: Readonly<Record<string, Readonly<Record<string, GoldenArray>>>>;
      }
    >
  >;
}

/** Loss of a step relative to the peer's; the bar. */
const LOSS_TOLERANCE = 1e-4;

const base = loadBase(join(GOLDEN, 'models', 'tiny-llama'), 'tiny-llama', loadNativeKernels(), 'f32');
const golden = readGolden<PreferenceGolden>('preferences', 'golden.json');

function asExample({ prompt, answers, isDesirable }: Pair): TokenExample {
  const tokenIds = answers.flatMap((answer) => [...prompt, ...answer]);
  const weights = answers.flatMap((answer) => [...prompt.map(() => 0), ...answer.map(() => 1)]);
  const first = prompt.length + answers[0].length;
  return {
    tokenIds: Int32Array.from(tokenIds),
    lossWeights: Float32Array.from(weights),
    ends: [first, tokenIds.length],
    isDesirable,
  };
}

function replay(objective: ObjectiveConfig, keeps: readonly string[]): readonly ReplayedStep[] {
  const { settings, batches } = golden;
  const initial = readArtefact(join(GOLDEN, 'preferences', 'initial'), base);
  const { steps } = replayTraining(base, initial, {
    batches: batches.map((batch) => batch.map(asExample)),
    learningRates: batches.map(() => settings.learning_rate),
    settings,
    objective,
    keepsGradients: (step) => keeps.includes(String(step)),
  });
  return steps;
}

for (const [name, run] of Object.entries(golden.runs)) {
  describe(name, () => {
    test('losses and gradients are the peer’s', () => {
      const steps = replay(run.config, Object.keys(run.gradients));
      assert.equal(run.losses.length, golden.batches.length);
      for (const [index, expected] of run.losses.entries()) {
        const { loss, gradientNorm } = steps[index];
        assert.ok(
          Math.abs(loss - expected) / expected <= LOSS_TOLERANCE,
          `step ${index + 1}: ${loss}, not ${expected}`,
        );
        assert.ok(Math.abs(gradientNorm / run.gradNorms[index] - 1) <= 1e-3, `norm of step ${index + 1}`);
      }
      let compared = 0;
      for (const [step, gradients] of Object.entries(run.gradients)) {
        for (const [tensor, expected] of Object.entries(gradients)) {
          const actual = steps[Number(step) - 1].gradients?.get(tensor);
          assert.ok(actual, `${tensor} has a gradient in step ${step}`);
          assertClose(actual, floatsOf(expected), 'gradientF32', `step ${step}, ${tensor}`);
          compared++;
        }
      }
      assert.ok(compared > 0, 'the golden has gradients');
    });
  });
}

test('another β gives other losses and gradients: the comparison above can fail', () => {
  const { config, losses, gradients } = golden.runs['dpo'];
  assert.ok(config.name === 'dpo');
  const steps = replay({ ...config, beta: config.beta * 1.01 }, ['1']);
  assert.ok(Math.abs(steps[0].loss - losses[0]) / losses[0] > LOSS_TOLERANCE);
  const [[tensor, expected]] = Object.entries(gradients['1']);
  const actual = steps[0].gradients?.get(tensor) ?? [];
  assert.equal(compareToReference(actual, floatsOf(expected), 'gradientF32').passes, false);
});
