import { linearCrossEntropy } from '../../numeric/index.ts';
import { packExamples } from '../pack.ts';
import type { Objective } from './objective.ts';

/** Supervised fine-tuning: the weighted cross-entropy of the next token, divided by the sum of the weights. */
export const supervised: Objective = {
  name: 'sft',
  pack: packExamples,
  loss(g, rows, head, batch) {
    const targets = { tokenIds_N: batch.targets_N, weights_N: batch.weights_N };
    const { lossSum, numTop } = linearCrossEntropy(g, rows, head, targets);
    return { lossSum, weightSum: batch.weightSum, numTop, numTargets: batch.targets_N.length, metrics: {} };
  },
};
