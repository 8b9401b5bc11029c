import { attendPacked, forward, headRows, type BaseModel, type SiteHooks } from '../model/index.ts';
import { linearCrossEntropy, type Graph, type Inference, type Tape } from '../numeric/index.ts';
import type { PackedBatch } from './pack.ts';

/** Sums over a batch's targets; whoever has all of them divides once. */
export interface BatchLoss {
  readonly lossSum: number;
  readonly weightSum: number;
  /** Targets that had the highest logit, of `numTargets`. */
  readonly numTop: number;
  readonly numTargets: number;
}

/** Forward, loss and backward: adds the gradient of the loss *sum* to the parameters' gradients. */
export function trainStep(tape: Tape, base: BaseModel, hooks: SiteHooks, batch: PackedBatch): BatchLoss {
  try {
    const { lossSum, numTop } = batchLoss(tape, base, hooks, batch);
    const value = lossSum.data[0];
    tape.backward(lossSum);
    return { lossSum: value, weightSum: batch.weightSum, numTop, numTargets: batch.targets_N.length };
  } finally {
    tape.reset();
  }
}

/**
 * {@link trainStep} for batches that were joined into one.
 * @param joined the `batches` in their order
 * @returns the loss of each, to the bit what it is alone
 */
export function groupStep(
  tape: Tape,
  base: BaseModel,
  hooks: SiteHooks,
  joined: PackedBatch,
  batches: readonly PackedBatch[],
): BatchLoss[] {
  try {
    const { lossSum, losses, isTop_N } = batchLoss(tape, base, hooks, joined);
    let n = 0;
    const each = batches.map(({ weights_N, weightSum }): BatchLoss => {
      const numTargets = weights_N.length;
      let [sum, numTop] = [0, 0];
      for (let i = 0; i < numTargets; i++, n++) {
        sum += losses.data[n] * weights_N[i];
        numTop += isTop_N[n];
      }
      // Alone, the sum is a tensor's one value.
      return { lossSum: Math.fround(sum), weightSum, numTop, numTargets };
    });
    tape.backward(lossSum);
    return each;
  } finally {
    tape.reset();
  }
}

/** The loss alone. */
export function evaluateStep(g: Inference, base: BaseModel, hooks: SiteHooks, batch: PackedBatch): BatchLoss {
  const { lossSum, numTop } = batchLoss(g, base, hooks, batch);
  const value = lossSum.data[0];
  g.endStep();
  return { lossSum: value, weightSum: batch.weightSum, numTop, numTargets: batch.targets_N.length };
}

function batchLoss(
  g: Graph,
  base: BaseModel,
  hooks: SiteHooks,
  batch: PackedBatch,
): ReturnType<typeof linearCrossEntropy> {
  const { tokenIds_T, positions_T } = batch;
  const attend = attendPacked(base.config, batch.segmentStarts_T);
  const hidden = forward(g, base, { tokenIds_T, positions_T, attend }, hooks);
  const rows = headRows(g, base, hidden, batch.lossRows_N);
  return linearCrossEntropy(g, rows, base.head, { tokenIds_N: batch.targets_N, weights_N: batch.weights_N });
}
