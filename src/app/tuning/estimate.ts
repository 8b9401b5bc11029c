import type { RunEstimate } from '../../http/index.ts';
import type { ResolvedHyperparameters } from '../../jobs/index.ts';
import type { ModelConfig } from '../../model/index.ts';
import { planFrom, type Plan } from '../../planning/index.ts';
import { RECIPE_RANK, RECIPE_TARGETS } from './recipe.ts';

/** How long a run will take by the plan, in seconds, before anything has been measured. */
export function estimateSeconds(config: ModelConfig, resolved: ResolvedHyperparameters): number {
  return planOf(config, resolved).time.seconds;
}

/** The run that a job would be, by the plan. */
export function estimateRun(config: ModelConfig, resolved: ResolvedHyperparameters): RunEstimate {
  const { size, batchSize, numEpochs, learningRateMultiplier, beta } = resolved;
  const plan = planOf(config, resolved);
  return {
    batchSize,
    numEpochs,
    learningRateMultiplier,
    beta,
    steps: Math.ceil(size.examples / batchSize) * numEpochs,
    trainedTokens: size.tokens * numEpochs,
    trainableParameters: plan.trainable.parameters,
    adapterBytes: plan.trainable.adapterBytes,
    memoryBytes: plan.training.totalBytes,
    seconds: plan.time.seconds,
  };
}

function planOf(config: ModelConfig, { size, numEpochs }: ResolvedHyperparameters): Plan {
  const meanTokens = Math.max(1, Math.round(size.tokens / size.examples));
  return planFrom({
    model: { name: 'the base', architecture: config.family, nominalParameters: null, config },
    rank: RECIPE_RANK,
    targets: RECIPE_TARGETS,
    batch: 1,
    seq: meanTokens,
    trainTokens: Math.max(1, size.tokens * numEpochs),
  });
}
