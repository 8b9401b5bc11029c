import { attendPacked, forward, headOf, headRows, logitsAt, type BaseModel, type SiteHooks } from '../model/index.ts';
import { linearCrossEntropy, type Graph, type Inference, type Tape, type Tensor } from '../numeric/index.ts';
import type { Objective, ObjectiveLoss } from './objectives/objective.ts';
import { supervised } from './objectives/supervised.ts';
import type { PackedBatch } from './pack.ts';
import { withSharedPrefix } from './shared-prefix.ts';
import { withVirtualRows } from './virtual-rows.ts';

/** Sums over a batch; whoever has all batches of a step divides once. */
export interface BatchLoss extends Omit<ObjectiveLoss, 'lossSum'> {
  readonly lossSum: number;
}

/**
 * Forward, loss and backward: adds the gradient of the loss *sum* to the parameters' gradients.
 * @param sharesPrefix computes a beginning that all sequences have once: see {@link rowsOf}
 */
export function trainStep(
  tape: Tape,
  base: BaseModel,
  hooks: SiteHooks,
  batch: PackedBatch,
  objective: Objective = supervised,
  sharesPrefix = false,
): BatchLoss {
  try {
    const loss = batchLoss(tape, base, hooks, batch, objective, sharesPrefix);
    const value = loss.lossSum.data[0];
    tape.backward(loss.lossSum);
    return { ...loss, lossSum: value };
  } finally {
    tape.reset();
  }
}

/**
 * {@link trainStep} with the supervised loss and the base's head, for batches that were joined into one.
 * @param joined the `batches` in their order, each in its run's {@link rowsOf}
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
  sharesPrefix = false,
): BatchLoss {
  const loss = batchLoss(g, base, hooks, batch, objective, sharesPrefix);
  const value = loss.lossSum.data[0];
  g.endStep();
  return { ...loss, lossSum: value };
}

/** The number of the highest logit of each row of the batch that predicts; the lower of equals. */
export function classifyStep(
  g: Inference,
  base: BaseModel,
  hooks: SiteHooks,
  batch: PackedBatch,
  sharesPrefix = false,
): number[] {
  const rows = lossRows(g, base, hooks, rowsOf(batch, hooks, sharesPrefix));
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
  sharesPrefix: boolean,
): ObjectiveLoss {
  const rows = lossRows(g, base, hooks, rowsOf(batch, hooks, sharesPrefix));
  return objective.loss(g, rows, headOf(base, hooks), batch);
}

/**
 * The rows that a batch is computed in: virtual ones before each segment if the hooks ask for them, or else a common beginning once.
 * The order of the rows with loss stays.
 */
export function rowsOf(batch: PackedBatch, { numVirtual = 0 }: SiteHooks, sharesPrefix: boolean): PackedBatch {
  if (numVirtual > 0) return withVirtualRows(batch, numVirtual);
  return sharesPrefix ? withSharedPrefix(batch) : batch;
}

/** The head's input at the batch's `lossRows_N`, [N, D]. */
function lossRows(g: Graph, base: BaseModel, hooks: SiteHooks, batch: PackedBatch): Tensor {
  const { tokenIds_T, positions_T } = batch;
  const attend = attendPacked(base.config, batch.segmentStarts_X, batch.shared);
  const hidden = forward(g, base, { tokenIds_T, positions_T, attend }, hooks);
  return headRows(g, base, hidden, batch.lossRows_N, hooks);
}
