import type { BaseModel } from '../../model/index.ts';
import type { Inference } from '../../numeric/index.ts';
import { dpoLoss } from './dpo.ts';
import { ipoLoss } from './ipo.ts';
import { ktoLoss } from './kto.ts';
import type { Objective, ObjectiveConfig, ObjectiveName } from './objective.ts';
import { orpoLoss } from './orpo.ts';
import { preferenceObjective } from './preference.ts';
import type { PreferenceLoss } from './preference-loss.ts';
import { simpoLoss } from './simpo.ts';
import { supervised } from './supervised.ts';

export const OBJECTIVES: readonly ObjectiveName[] = ['sft', 'dpo', 'ipo', 'simpo', 'orpo', 'kto'];

/**
 * The objective of a run.
 * @param g computes reference log probabilities: the run's own, between its steps
 */
export function makeObjective(config: ObjectiveConfig, base: BaseModel, g: Inference): Objective {
  return config.name === 'sft' ? supervised : preferenceObjective(config.name, lossFunction(config), base, g);
}

/** The loss of a preference objective as a function of log probabilities. */
export function lossFunction(config: Exclude<ObjectiveConfig, { name: 'sft' }>): PreferenceLoss {
  switch (config.name) {
    case 'dpo':
      return dpoLoss(config);
    case 'ipo':
      return ipoLoss(config);
    case 'simpo':
      return simpoLoss(config);
    case 'orpo':
      return orpoLoss(config);
    case 'kto':
      return ktoLoss(config);
    default:
      return config satisfies never;
  }
}
