import assert from 'node:assert/strict';
import type { Adapter } from '../../src/adapters/index.ts';
import { assertClose } from '../../src/numeric/compare.ts';
import { floatsOf, type GoldenArray } from '../conformance/goldens.ts';
import type { replayTraining } from './replay-training.ts';

/** What a golden run of PEFT's says of each step. */
export interface TrainedGolden {
  readonly losses: readonly number[];
  readonly gradNorms: readonly number[];
  /** Of some steps, by their number from 1. */
  readonly gradients: Readonly<Record<string, Readonly<Record<string, GoldenArray>>>>;
}

/** Loss of a step relative to PEFT's; the bar. */
const LOSS_TOLERANCE = 1e-4;

type Replayed = ReturnType<typeof replayTraining>;

export function assertLosses({ steps }: Pick<Replayed, 'steps'>, { losses }: TrainedGolden): void {
  assert.equal(steps.length, losses.length);
  for (const [index, expected] of losses.entries()) {
    const { loss } = steps[index];
    const error = Math.abs(loss - expected) / expected;
    assert.ok(error <= LOSS_TOLERANCE, `step ${index + 1}: loss ${loss}, PEFT ${expected}`);
  }
}

/** Losses, gradients and the adapter at the end are PEFT's. */
export function assertTrainedAlike(replayed: Replayed, golden: TrainedGolden, final: Adapter): void {
  assertLosses(replayed, golden);
  const { steps, trained } = replayed;
  for (const [index, norm] of golden.gradNorms.entries()) {
    assert.ok(Math.abs(steps[index].gradientNorm / norm - 1) <= 1e-3, `norm of step ${index + 1}`);
  }
  assert.ok(Object.keys(golden.gradients).length > 0, 'the golden has gradients');
  for (const [step, gradients] of Object.entries(golden.gradients)) {
    assert.equal(Object.keys(gradients).length, trained.tensors.size);
    for (const [tensor, expected] of Object.entries(gradients)) {
      const actual = steps[Number(step) - 1].gradients?.get(tensor);
      assert.ok(actual, `${tensor} has a gradient in step ${step}`);
      const values = floatsOf(expected);
      // With B = 0, A gets exactly no gradient: nothing to compare by norm.
      if (values.every((value) => value === 0)) {
        assert.ok(
          actual.every((value) => value === 0),
          tensor,
        );
      } else assertClose(actual, values, 'gradientF32', `step ${step}, ${tensor}`);
    }
  }
  for (const [tensor, { data }] of trained.tensors) {
    assertClose(data, final.tensors.get(tensor)?.data ?? [], 'gradientF32', tensor);
  }
}
