import { attendPacked, forward, headRows, type BaseModel, type SiteHooks } from '../model/index.ts';
import type { Graph, Inference, Tape } from '../numeric/index.ts';
import type { Objective, ObjectiveLoss } from './objectives/objective.ts';
import { supervised } from './objectives/supervised.ts';
import type { PackedBatch } from './pack.ts';

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

function batchLoss(
  g: Graph,
  base: BaseModel,
  hooks: SiteHooks,
  batch: PackedBatch,
  objective: Objective,
): ObjectiveLoss {
  const { tokenIds_T, positions_T } = batch;
  const attend = attendPacked(base.config, batch.segmentStarts_T);
  const hidden = forward(g, base, { tokenIds_T, positions_T, attend }, hooks);
  return objective.loss(g, headRows(g, base, hidden, batch.lossRows_N), base.head, batch);
}
