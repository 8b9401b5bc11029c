import { attendPacked, forward, headOf, headRows, logitsAt, type BaseModel, type SiteHooks } from '../model/index.ts';
import type { Graph, Inference, Tape, Tensor } from '../numeric/index.ts';
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
 * The rows that a batch is computed in: virtual ones before each segment if the hooks ask for them, or else common beginnings once.
 * The order of the rows with loss stays.
 */
export function rowsOf(batch: PackedBatch, { numVirtual = 0 }: SiteHooks, sharesPrefix: boolean): PackedBatch {
  if (numVirtual > 0) return withVirtualRows(batch, numVirtual);
  return sharesPrefix ? withSharedPrefix(batch) : batch;
}

/** The head's input at the batch's `lossRows_N`, [N, D]. */
export function lossRows(g: Graph, base: BaseModel, hooks: SiteHooks, batch: PackedBatch): Tensor {
  const { tokenIds_T, positions_T } = batch;
  const attend = attendPacked(base.config, batch.segmentStarts_X, batch.rows_X);
  const hidden = forward(g, base, { tokenIds_T, positions_T, attend }, hooks);
  return headRows(g, base, hidden, batch.lossRows_N, hooks);
}
