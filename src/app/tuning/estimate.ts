import type { ResolvedHyperparameters } from '../../jobs/index.ts';
import type { ModelConfig } from '../../model/index.ts';
import { planFrom } from '../../planning/index.ts';
import { RECIPE_RANK, RECIPE_TARGETS } from './recipe.ts';

/** How long a run will take by the plan, in seconds, before anything has been measured. */
export function estimateSeconds(config: ModelConfig, { size, numEpochs }: ResolvedHyperparameters): number {
  const meanTokens = Math.max(1, Math.round(size.tokens / size.examples));
  const plan = planFrom({
    model: { name: 'the base', architecture: config.family, nominalParameters: null, config },
    rank: RECIPE_RANK,
    targets: RECIPE_TARGETS,
    batch: 1,
    seq: meanTokens,
    trainTokens: Math.max(1, size.tokens * numEpochs),
  });
  return plan.time.seconds;
}
