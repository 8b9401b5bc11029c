import type { ClassifierInput } from '../../formats/index.ts';
import type { Graph, Head, Tensor } from '../../numeric/index.ts';
import type { PackedBatch, TokenExample } from '../pack.ts';

/** What a run makes small. Plain data: it is part of the run's configuration. */
export type ObjectiveConfig =
  | { readonly name: 'sft' }
  | {
      readonly name: 'distillation';
      /** The digest of the teacher. */
      readonly teacher: string;
      readonly temperature: number;
      /** Of the divergence from the teacher; the targets have the rest. */
      readonly teacherShare: number;
    }
  | { readonly name: 'dpo'; readonly beta: number; readonly labelSmoothing: number }
  | { readonly name: 'ipo'; readonly beta: number }
  | { readonly name: 'simpo'; readonly beta: number; readonly gamma: number }
  | { readonly name: 'orpo'; readonly beta: number }
  | {
      readonly name: 'kto';
      readonly beta: number;
      readonly desirableWeight: number;
      readonly undesirableWeight: number;
    }
  | {
      readonly name: 'classification';
      /** In the order of the head's rows. */
      readonly labels: readonly string[];
      /** What its examples are; not in older runs. */
      readonly reads?: ClassifierInput | undefined;
    };

export type ObjectiveName = ObjectiveConfig['name'];

/** A sum and how much it is a sum of: whoever has all batches of a step divides once. */
export interface MetricSum {
  readonly sum: number;
  readonly count: number;
}

export interface ObjectiveLoss {
  /** [1]: a sum; the gradient of it is divided by the weight sums of all batches of a step. */
  readonly lossSum: Tensor;
  readonly weightSum: number;
  /** Predictions that were right, of `numTargets`: the best token, or the better answer. */
  readonly numTop: number;
  readonly numTargets: number;
  /** The objective's own figures, such as `rewards/chosen`. */
  readonly metrics: Readonly<Record<string, MetricSum>>;
}

/** An objective: how examples become a batch, and what their loss is. It never sees an adapter. */
export interface Objective {
  readonly name: ObjectiveName;
  /** Lays whole examples end to end, with all that the loss needs to know of them. */
  pack(examples: readonly TokenExample[]): PackedBatch;
  /**
   * The batch's loss. On a tape it records the way back to `rows`.
   * @param rows the head's input at the batch's `lossRows_N`, [N, D]
   */
  loss(g: Graph, rows: Tensor, head: Head, batch: PackedBatch): ObjectiveLoss;
}

/** The labels of a classification, in the order of its head's rows. */
export function labelsIn(objective: ObjectiveConfig | undefined): readonly string[] | undefined {
  return objective?.name === 'classification' ? objective.labels : undefined;
}
