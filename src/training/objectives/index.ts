import { fail } from '../../base/index.ts';
import type { BaseModel } from '../../model/index.ts';
import { classification } from './classification.ts';
import { distillationObjective, type Teacher } from './distillation.ts';
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

export const OBJECTIVES: readonly ObjectiveName[] = [
  'sft',
  'distillation',
  'dpo',
  'ipo',
  'simpo',
  'orpo',
  'kto',
  'classification',
];

/**
 * The objective of a run.
 * @param g computes reference log probabilities and the teacher's rows: the run's own, between its steps
 * @param teacher of a distillation
 */
export function makeObjective(config: ObjectiveConfig, base: BaseModel, g: Inference, teacher?: Teacher): Objective {
  if (config.name === 'sft') return supervised;
  if (config.name === 'classification') return classification;
  if (config.name !== 'distillation') return preferenceObjective(config.name, lossFunction(config), base, g);
  return teacher
    ? distillationObjective(config, teacher, g)
    : fail('CONFIG_INVALID', 'a distillation needs a teacher: name it with --teacher', { param: 'teacher' });
}

/** The loss of a preference objective as a function of log probabilities. */
export function lossFunction(
  config: Exclude<ObjectiveConfig, { name: 'sft' | 'distillation' | 'classification' }>,
): PreferenceLoss {
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
