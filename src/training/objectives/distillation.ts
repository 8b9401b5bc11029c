import { assert } from '../../base/index.ts';
import { headOf, type BaseModel, type SiteHooks } from '../../model/index.ts';
import {
  BufferPool,
  distillationLoss,
  Inference,
  isLogitsHead,
  type Floats,
  type Head,
  type Kernels,
} from '../../numeric/index.ts';
import { packExamples, type PackedBatch } from '../pack.ts';
import { lossRows, rowsOf } from '../step.ts';
import type { Objective, ObjectiveConfig } from './objective.ts';

/** A model that a run learns from: a base, with an adapter's hooks or none. It reads the same token ids as the run. */
export interface Teacher {
  readonly base: BaseModel;
  readonly hooks: SiteHooks;
}

/**
 * Distillation (Hinton et al., 2015): the student's distribution at every learned position comes near to the teacher's, beside the
 * cross-entropy of the targets. A batch's teacher rows [N, D] are computed when it is packed; its logits are made of them chunk by chunk.
 * @param g computes for the teacher: the run's own, between its steps
 */
export function distillationObjective(
  { temperature, teacherShare }: Extract<ObjectiveConfig, { name: 'distillation' }>,
  teacher: Teacher,
  g: Inference,
): Objective {
  const taughtOf = new WeakMap<PackedBatch, Floats>();
  const { base, hooks } = teacher;
  const { hiddenSize: D } = base.config;
  const teacherLogits = logitsOf(headOf(base, hooks), base.kernels, D);

  return {
    name: 'distillation',
    pack(examples) {
      const batch = packExamples(examples);
      taughtOf.set(batch, lossRows(g, base, hooks, rowsOf(batch, hooks, true)).data.slice());
      g.endStep();
      return batch;
    },
    loss(graph, rows, studentHead, batch) {
      const taught = taughtOf.get(batch);
      assert(taught, 'a batch is packed by the objective that reads it');
      const { lossSum, numTop, divergenceSum } = distillationLoss(
        graph,
        rows,
        studentHead,
        { tokenIds_N: batch.targets_N, weights_N: batch.weights_N },
        {
          temperature,
          share: teacherShare,
          teacherLogits: (begin, end, logits) =>
            teacherLogits(logits, taught.subarray(begin * D, end * D), end - begin),
        },
      );
      return {
        lossSum,
        weightSum: batch.weightSum,
        numTop,
        numTargets: batch.targets_N.length,
        metrics: { divergence: { sum: divergenceSum, count: batch.weightSum } },
      };
    },
  };
}

/** Writes the logits of `count` rows of the head's input. */
type WriteLogits = (logits: Floats, rows: Floats, count: number) => void;

function logitsOf(head: Head, kernels: Kernels, D: number): WriteLogits {
  if (!isLogitsHead(head)) return (logits, rows, count) => kernels.linearForward(logits, rows, head, count, false);
  const g = new Inference(kernels, new BufferPool());
  return (logits, rows, count) => {
    logits.set(head.logits(g, { shape: [count, D], data: rows }).data);
    g.endStep();
  };
}
