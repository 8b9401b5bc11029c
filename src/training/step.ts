import { attendPacked, forward, headOf, headRows, logitsAt, type BaseModel, type SiteHooks } from '../model/index.ts';
import { linearCrossEntropy, type Graph, type Inference, type Tape, type Tensor } from '../numeric/index.ts';
import type { Objective, ObjectiveLoss } from './objectives/objective.ts';
import { supervised } from './objectives/supervised.ts';
import type { PackedBatch } from './pack.ts';
import { withVirtualRows } from './virtual-rows.ts';

/** Sums over a batch; whoever has all batches of a step divides once. */
export interface BatchLoss extends Omit<ObjectiveLoss, 'lossSum'> {
  readonly lossSum: number;
}

/** Forward, loss and backward: adds the gradient of the loss *sum* to the parameters' gradients. */
export function trainStep(
  tape: Tape,
  base: BaseModel,
  hooks: SiteHooks,
  batch: PackedBatch,
  objective: Objective = supervised,
): BatchLoss {
  try {
    const loss = batchLoss(tape, base, hooks, batch, objective);
    const value = loss.lossSum.data[0];
    tape.backward(loss.lossSum);
    return { ...loss, lossSum: value };
  } finally {
    tape.reset();
  }
}

/**
 * {@link trainStep} with the supervised loss and the base's head, for batches that were joined into one.
 * @param joined the `batches` in their order, each with its run's virtual rows
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
    const rows = lossRows(tape, base, hooks, joined);
    const targets = { tokenIds_N: joined.targets_N, weights_N: joined.weights_N };
    const { lossSum, losses, isTop_N } = linearCrossEntropy(tape, rows, base.head, targets);
    let n = 0;
    const each = batches.map(({ weights_N, weightSum }): BatchLoss => {
      const numTargets = weights_N.length;
      let [sum, numTop] = [0, 0];
      for (let i = 0; i < numTargets; i++, n++) {
        sum += losses.data[n] * weights_N[i];
        numTop += isTop_N[n];
      }
      // Alone, the sum is a tensor's one value.
      return { lossSum: Math.fround(sum), weightSum, numTop, numTargets, metrics: {} };
    });
    tape.backward(lossSum);
    return each;
  } finally {
    tape.reset();
  }
}

/** The loss alone. */
export function evaluateStep(
  g: Inference,
  base: BaseModel,
  hooks: SiteHooks,
  batch: PackedBatch,
  objective: Objective = supervised,
): BatchLoss {
  const loss = batchLoss(g, base, hooks, batch, objective);
  const value = loss.lossSum.data[0];
  g.endStep();
  return { ...loss, lossSum: value };
}

/** The number of the highest logit of each row of the batch that predicts; the lower of equals. */
export function classifyStep(g: Inference, base: BaseModel, hooks: SiteHooks, batch: PackedBatch): number[] {
  const rows = lossRows(g, base, hooks, withVirtualRows(batch, hooks.numVirtual ?? 0));
  const logits = logitsAt(g, base, rows, hooks);
  const best_N = new Int32Array(logits.shape[0]);
  g.kernels.argmaxRows(best_N, logits.data, best_N.length);
  g.endStep();
  return [...best_N];
}

function batchLoss(
  g: Graph,
  base: BaseModel,
  hooks: SiteHooks,
  batch: PackedBatch,
  objective: Objective,
): ObjectiveLoss {
  const rows = lossRows(g, base, hooks, withVirtualRows(batch, hooks.numVirtual ?? 0));
  return objective.loss(g, rows, headOf(base, hooks), batch);
}

/** The head's input at the batch's `lossRows_N`, [N, D]. */
function lossRows(g: Graph, base: BaseModel, hooks: SiteHooks, batch: PackedBatch): Tensor {
  const { tokenIds_T, positions_T } = batch;
  const attend = attendPacked(base.config, batch.segmentStarts_T);
  const hidden = forward(g, base, { tokenIds_T, positions_T, attend }, hooks);
  return headRows(g, base, hidden, batch.lossRows_N, hooks);
}
