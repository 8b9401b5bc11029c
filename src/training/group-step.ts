import { headOf, type BaseModel, type SiteHooks } from '../model/index.ts';
import { linearCrossEntropy, sumOfScalars, type Graph, type Tape, type Tensor } from '../numeric/index.ts';
import type { Objective } from './objectives/objective.ts';
import type { PackedBatch } from './pack.ts';
import { lossRows, type BatchLoss } from './step.ts';

/** What a run has in a pass. */
export interface GroupPart {
  /** Its micro-batch as its objective packed it. */
  readonly batch: PackedBatch;
  readonly objective: Objective;
  readonly hooks: SiteHooks;
}

/**
 * `trainStep` for batches that were joined into one, each with its own objective and head.
 * @param hooks those of all rows
 * @param joined the parts' batches in their order, each in the rows that `rowsOf` lays out
 * @returns the loss of each part, to the bit what it is alone
 */
export function groupStep(
  tape: Tape,
  base: BaseModel,
  hooks: SiteHooks,
  joined: PackedBatch,
  parts: readonly GroupPart[],
): BatchLoss[] {
  try {
    const rows = lossRows(tape, base, hooks, joined);
    const stretches = stretchesOf(parts).map((stretch) => {
      const own = stretch.begin === 0 && stretch.end === rows.shape[0];
      const x = own ? rows : tape.rows(rows, stretch.begin, stretch.end);
      return sharesLoss(stretch.parts[0])
        ? sharedLoss(tape, base, x, stretch.parts)
        : ownLoss(tape, base, x, stretch.parts[0]);
    });
    tape.backward(
      sumOfScalars(
        tape,
        stretches.map(({ lossSum }) => lossSum),
      ),
    );
    return stretches.flatMap(({ each }) => each);
  } finally {
    tape.reset();
  }
}

/** Neighbours whose loss is made in one call, or one part alone; rows begin..end of those with a loss. */
interface Stretch {
  readonly begin: number;
  readonly end: number;
  readonly parts: readonly GroupPart[];
}

function stretchesOf(parts: readonly GroupPart[]): Stretch[] {
  const stretches: Stretch[] = [];
  for (const part of parts) {
    const last = stretches.at(-1);
    const begin = last?.end ?? 0;
    const end = begin + part.batch.lossRows_N.length;
    if (last && sharesLoss(part) && sharesLoss(last.parts[0])) {
      stretches[stretches.length - 1] = { begin: last.begin, end, parts: [...last.parts, part] };
    } else stretches.push({ begin, end, parts: [part] });
  }
  return stretches;
}

/** Whether its loss is the cross-entropy under the base's head: then a row does not ask whose it is. */
function sharesLoss({ objective, hooks }: GroupPart): boolean {
  return objective.name === 'sft' && !hooks.head;
}

interface StretchLoss {
  readonly lossSum: Tensor;
  readonly each: readonly BatchLoss[];
}

function sharedLoss(g: Graph, base: BaseModel, x: Tensor, parts: readonly GroupPart[]): StretchLoss {
  const targets = {
    tokenIds_N: Int32Array.from(parts.flatMap(({ batch }) => [...batch.targets_N])),
    weights_N: Float32Array.from(parts.flatMap(({ batch }) => [...batch.weights_N])),
  };
  const { lossSum, losses, isTop_N } = linearCrossEntropy(g, x, base.head, targets);
  let n = 0;
  const each = parts.map(({ batch: { weights_N, weightSum } }): BatchLoss => {
    const numTargets = weights_N.length;
    let [sum, numTop] = [0, 0];
    for (let i = 0; i < numTargets; i++, n++) {
      sum += losses.data[n] * weights_N[i];
      numTop += isTop_N[n];
    }
    // Alone, the sum is a tensor's one value.
    return { lossSum: Math.fround(sum), weightSum, numTop, numTargets, metrics: {} };
  });
  return { lossSum, each };
}

function ownLoss(g: Graph, base: BaseModel, x: Tensor, { objective, hooks, batch }: GroupPart): StretchLoss {
  const loss = objective.loss(g, x, headOf(base, hooks), batch);
  return { lossSum: loss.lossSum, each: [{ ...loss, lossSum: loss.lossSum.data[0] }] };
}
