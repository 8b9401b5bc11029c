import { assert } from '../../base/index.ts';
import { attendPacked, forward, headOf, headRows, type BaseModel, type SiteHooks } from '../../model/index.ts';
import { distillationLoss, isLogitsHead, type Floats, type Inference } from '../../numeric/index.ts';
import { packExamples, type PackedBatch } from '../pack.ts';
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
  const rowsOf = new WeakMap<PackedBatch, Floats>();
  const head = headOf(teacher.base, teacher.hooks);
  assert(!isLogitsHead(head), 'a teacher has the head of its base');
  const { hiddenSize: D } = teacher.base.config;

  return {
    name: 'distillation',
    pack(examples) {
      const batch = packExamples(examples);
      const { tokenIds_T, positions_T, lossRows_N } = batch;
      const attend = attendPacked(teacher.base.config, batch.segmentStarts_X);
      const hidden = forward(g, teacher.base, { tokenIds_T, positions_T, attend }, teacher.hooks);
      rowsOf.set(batch, headRows(g, teacher.base, hidden, lossRows_N, teacher.hooks).data.slice());
      g.endStep();
      return batch;
    },
    loss(graph, rows, studentHead, batch) {
      const taught = rowsOf.get(batch);
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
            teacher.base.kernels.linearForward(logits, taught.subarray(begin * D, end * D), head, end - begin, false),
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
