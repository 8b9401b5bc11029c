import { fail, type Rng } from '../../base/index.ts';
import type { ParameterSpec } from '../../adapters/index.ts';
import { CLASSIFICATION, isClassifier, scoreName } from '../../formats/index.ts';
import type { BaseModel, ModelConfig, SiteHooks } from '../../model/index.ts';
import { denseLinear, type Floats, type Tensor } from '../../numeric/index.ts';
import { trainedMethodOf, type TrainedConfig } from '../full-model.ts';
import type { RunConfig } from '../run-config.ts';
import type { Objective, ObjectiveConfig } from './objective.ts';
import { supervised } from './supervised.ts';

/**
 * Sequence classification as Hugging Face's `LlamaForSequenceClassification`: the cross-entropy of a label, whose logits are `score` [C, D]
 * times the hidden state of the last token after the final norm. Divided by the number of examples.
 */
export const classification: Objective = { ...supervised, name: 'classification' };

/** The spread of a new head: `initializer_range` of Hugging Face's models. */
const INITIAL_SPREAD = 0.02;

/** The parameters that an objective trains beside the adapter's: PEFT's `modules_to_save` of a SEQ_CLS. */
function headParameters(
  { adapter, objective }: Pick<RunConfig, 'adapter' | 'objective'>,
  { hiddenSize }: ModelConfig,
): ParameterSpec[] {
  return objective?.name === 'classification'
    ? [{ name: scoreName(adapter), shape: [objective.labels.length, hiddenSize] }]
    : [];
}

/** Every tensor that a run of this configuration has. @throws TARGET_UNMATCHED CONFIG_INVALID */
export function parametersOf(
  run: Pick<RunConfig, 'adapter' | 'objective'>,
  base: Pick<BaseModel, 'sites' | 'config'>,
): ParameterSpec[] {
  const own = trainedMethodOf(run.adapter).parameters(base.sites, base.config);
  return [...own, ...headParameters(run, base.config)];
}

/** N(0, 0.02). */
export function initialiseHead(values: Floats, rng: Rng): void {
  for (let i = 0; i < values.length; i++) values[i] = INITIAL_SPREAD * rng.nextNormal();
}

/** The hooks with the head in place of the base's, where the tensors have one. */
export function withHead(hooks: SiteHooks, adapter: TrainedConfig, tensors: ReadonlyMap<string, Tensor>): SiteHooks {
  const score_CD = tensors.get(scoreName(adapter));
  return score_CD ? { ...hooks, head: { logits: (g, x) => denseLinear(g, x, score_CD) } } : hooks;
}

/** @throws CONFIG_INVALID for a classifier with another objective, and for a classification with another adapter */
export function requireHead(objective: ObjectiveConfig | undefined, adapter: TrainedConfig): void {
  if ((objective?.name === 'classification') === isClassifier(adapter)) return;
  fail(
    'CONFIG_INVALID',
    `the objective ${objective?.name ?? 'sft'} does not go with an adapter of this task_type: classification trains one of ${CLASSIFICATION}, and it alone`,
    { param: 'objective' },
  );
}
