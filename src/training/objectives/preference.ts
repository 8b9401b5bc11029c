import { assert } from '../../base/index.ts';
import { baseHooks, type BaseModel } from '../../model/index.ts';
import { sequenceLogProbs, type Graph, type Head, type Inference, type Tensor } from '../../numeric/index.ts';
import { packExamples, type PackedBatch, type TokenExample } from '../pack.ts';
import { lossRows, rowsOf } from '../step.ts';
import type { MetricSum, Objective, ObjectiveName } from './objective.ts';
import type { ExampleLoss, PreferenceLoss, ScoredExample } from './preference-loss.ts';

/**
 * An objective over examples of two answers each, which always share a batch. The reference is the base with no adapter: an example's
 * log probabilities under it are computed when the example is first packed, and kept for the run. They do not depend on the batch,
 * so a resumed run, which computes them again, gets the same bits.
 */
export function preferenceObjective(
  name: ObjectiveName,
  loss: PreferenceLoss,
  base: BaseModel,
  g: Inference,
): Objective {
  const references = new WeakMap<TokenExample, Float64Array>();

  function addReferences(examples: readonly TokenExample[]): void {
    const missing = examples.filter((example) => !references.has(example));
    if (missing.length === 0) return;
    const batch = packExamples(missing);
    const rows = lossRows(g, base, baseHooks, rowsOf(batch, baseHooks, true));
    const { values_S } = logProbsOf(g, rows, base.head, batch);
    g.endStep();
    for (const [index, example] of missing.entries()) {
      references.set(example, values_S.slice(2 * index, 2 * index + 2));
    }
  }

  return {
    name,
    pack(examples) {
      if (loss.needsReference) addReferences(examples);
      return packExamples(examples);
    },
    loss(graph, rows, head, batch) {
      const { logProbs, values_S } = logProbsOf(graph, rows, head, batch);
      const losses = loss.lossesOf(batch.examples.map((example, index) => scored(example, index, values_S, batch)));
      const lossSum = graph.empty([1]);
      lossSum.data[0] = losses.reduce((sum, { loss: one }) => sum + one, 0);
      graph.record(lossSum, [logProbs], [], (dLoss) => {
        const { tensor, accumulate } = graph.gradient(logProbs);
        assert(!accumulate, 'nothing else reads the log probabilities');
        for (const [index, { gradient }] of losses.entries()) {
          for (const side of [0, 1] as const) tensor.data[2 * index + side] = dLoss.data[0] * gradient[side];
        }
      });
      const compared = losses.filter(({ isRight }) => isRight !== undefined);
      return {
        lossSum,
        weightSum: losses.length,
        numTop: compared.filter(({ isRight }) => isRight).length,
        numTargets: compared.length,
        metrics: metricsOf(losses),
      };
    },
  };

  function scored(example: TokenExample, index: number, values_S: Float64Array, batch: PackedBatch): ScoredExample {
    const reference = references.get(example);
    assert(reference ?? !loss.needsReference, 'a batch is packed by the objective that reads it');
    const answer = (side: 0 | 1) => {
      const s = 2 * index + side;
      const numTokens = batch.lossEnds_S[s] - (s === 0 ? 0 : batch.lossEnds_S[s - 1]);
      return { logProb: values_S[s], reference: reference?.[side] ?? 0, numTokens };
    };
    return { answers: [answer(0), answer(1)], isDesirable: example.isDesirable };
  }
}

function logProbsOf(g: Graph, rows: Tensor, head: Head, batch: PackedBatch) {
  assert(batch.lossEnds_S.length === 2 * batch.numExamples, 'every example has two answers');
  const targets = { tokenIds_N: batch.targets_N, weights_N: batch.weights_N };
  return sequenceLogProbs(g, rows, head, targets, batch.lossEnds_S);
}

/** By TRL's names, but for the accuracy, which is the run's own. */
function metricsOf(losses: readonly ExampleLoss[]): Record<string, MetricSum> {
  const mean = (values: readonly number[]): MetricSum => ({
    sum: values.reduce((sum, value) => sum + value, 0),
    count: values.length,
  });
  const chosen = losses.flatMap(({ chosenReward }) => chosenReward ?? []);
  const rejected = losses.flatMap(({ rejectedReward }) => rejectedReward ?? []);
  const margins = losses.flatMap(({ chosenReward, rejectedReward }) =>
    chosenReward === undefined || rejectedReward === undefined ? [] : chosenReward - rejectedReward,
  );
  return {
    'rewards/chosen': mean(chosen),
    'rewards/rejected': mean(rejected),
    ...(margins.length > 0 && { 'rewards/margins': mean(margins) }),
  };
}
