import type { RunEstimate } from '../../http/index.ts';
import type { JobPeft, ResolvedHyperparameters } from '../../jobs/index.ts';
import type { ModelConfig } from '../../model/index.ts';
import { planFrom, type MachineFigures, type Plan } from '../../planning/index.ts';
import { DEFAULT_MICRO_BATCH_TOKENS } from '../../training/index.ts';
import { methodDefaults } from '../runs/train-methods.ts';
import { formatOf, peftOptions } from './peft.ts';

/** The run that is estimated, and on what. */
export interface EstimatedRun {
  readonly config: ModelConfig;
  readonly peft: JobPeft;
  readonly resolved: ResolvedHyperparameters;
  /** Tokens of the longest example, which is never cut: it may decide the memory. */
  readonly longest?: number | undefined;
  /** What this machine was measured to do, if it was. */
  readonly machine: MachineFigures | undefined;
}

/** How long a run will take by the plan, before anything of it has been measured, and how large what comes of it will be. */
export function estimateOutcome(run: EstimatedRun): { readonly seconds: number; readonly adapterBytes: number } {
  const { time, trainable } = planOf(run);
  return { seconds: time.seconds, adapterBytes: trainable.adapterBytes };
}

/** The run that a job would be, by the plan. */
export function estimateRun(run: EstimatedRun): RunEstimate {
  const { size, batchSize, numEpochs, learningRateMultiplier, beta } = run.resolved;
  const plan = planOf(run);
  const ofLongest = planOf(alone(run));
  return {
    batchSize,
    numEpochs,
    learningRateMultiplier,
    beta,
    peft: run.peft,
    steps: Math.ceil(size.examples / batchSize) * numEpochs,
    trainedTokens: size.tokens * numEpochs,
    trainableParameters: plan.trainable.parameters,
    adapterBytes: plan.trainable.adapterBytes,
    memoryBytes: Math.max(plan.training.totalBytes, ofLongest.training.totalBytes),
    seconds: plan.time.seconds,
    calibrated: plan.time.isMeasured,
  };
}

/** The same with nothing but its longest example: a pass holds as many as fit, but a whole one at least. */
function alone({ longest = 1, resolved, ...run }: EstimatedRun): EstimatedRun {
  const size = { ...resolved.size, examples: 1, tokens: longest };
  return { ...run, resolved: { ...resolved, batchSize: 1, batchTokens: longest, size } };
}

function planOf({ config, peft, resolved: { size, batchSize, batchTokens, numEpochs }, machine }: EstimatedRun): Plan {
  const { method } = peftOptions(peft);
  const defaults = methodDefaults(method);
  // What a method without a rank is sized by stands in its place in a plan.
  const rank = peft.rank ?? defaults.blockSize ?? defaults.frequencies;
  return planFrom({
    model: { name: 'the base', architecture: config.family, nominalParameters: null, config },
    method,
    ...(typeof rank === 'number' && { rank }),
    ...(peft.targets !== null && { targets: peft.targets }),
    baseFormat: formatOf(peft),
    batch: batchSize,
    seq: Math.max(1, Math.round(size.tokens / size.examples)),
    microBatchTokens: Math.min(DEFAULT_MICRO_BATCH_TOKENS, batchTokens),
    trainTokens: Math.max(1, size.tokens * numEpochs),
    ...(size.labels !== undefined && { labels: size.labels }),
    machine,
  });
}
