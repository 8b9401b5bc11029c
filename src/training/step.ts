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
