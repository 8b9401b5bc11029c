import { fail } from '../../base/index.ts';
import { labelsProblem } from '../../formats/index.ts';
import { classesOfFile, type ObjectiveConfig, type ObjectiveName } from '../../training/index.ts';

/** What a caller may say of an objective; the rest is {@link OBJECTIVE_DEFAULTS}'. */
export interface ObjectiveOptions {
  readonly objective?: ObjectiveName | undefined;
  readonly beta?: number | undefined;
  readonly gamma?: number | undefined;
  readonly labelSmoothing?: number | undefined;
  readonly desirableWeight?: number | undefined;
  readonly undesirableWeight?: number | undefined;
  /** Of a distillation: an adapter or a base. */
  readonly teacher?: string | undefined;
  readonly temperature?: number | undefined;
  /** Of the teacher, against the targets. */
  readonly teacherShare?: number | undefined;
  /** Of a classification, separated by commas; those of the training data when missing. */
  readonly labels?: string | undefined;
}

/** TRL's defaults; for SimPO its authors' (β 2, γ 1), since TRL's β there is another objective's. */
const OBJECTIVE_DEFAULTS: Readonly<{ [Name in ObjectiveName]: Extract<ObjectiveConfig, { name: Name }> }> = {
  sft: { name: 'sft' },
  distillation: { name: 'distillation', teacher: '', temperature: 2, teacherShare: 0.5 },
  dpo: { name: 'dpo', beta: 0.1, labelSmoothing: 0 },
  ipo: { name: 'ipo', beta: 0.1 },
  simpo: { name: 'simpo', beta: 2, gamma: 1 },
  orpo: { name: 'orpo', beta: 0.1 },
  kto: { name: 'kto', beta: 0.1, desirableWeight: 1, undesirableWeight: 1 },
  // Filled in from the training data where none are given.
  classification: { name: 'classification', labels: [] },
};

const FLAGS = {
  beta: '--beta',
  gamma: '--gamma',
  labelSmoothing: '--label-smoothing',
  desirableWeight: '--desirable-weight',
  undesirableWeight: '--undesirable-weight',
  temperature: '--temperature',
  teacherShare: '--teacher-share',
} as const;

/** @throws USAGE_INVALID names an option that the objective does not have */
export function objectiveConfig(options: ObjectiveOptions): ObjectiveConfig {
  const defaults = OBJECTIVE_DEFAULTS[options.objective ?? 'sft'];
  if ((options.teacher !== undefined) !== (defaults.name === 'distillation')) {
    const message =
      options.teacher === undefined
        ? '--objective distillation needs a teacher: name an adapter or a base with --teacher'
        : `--teacher has no meaning for --objective ${defaults.name}: leave it out, or use --objective distillation`;
    fail('USAGE_INVALID', message, { param: '--teacher' });
  }
  if (options.labels !== undefined && defaults.name !== 'classification') {
    fail(
      'USAGE_INVALID',
      `--labels has no meaning for --objective ${defaults.name}: leave it out, or use --objective classification`,
      {
        param: '--labels',
      },
    );
  }
  const given: Record<string, number | string[]> = {};
  for (const [name, flag] of Object.entries(FLAGS)) {
    const value = options[name as keyof typeof FLAGS];
    if (value === undefined) continue;
    if (!Object.hasOwn(defaults, name)) {
      fail('USAGE_INVALID', `${flag} has no meaning for --objective ${defaults.name}: leave it out`, { param: flag });
    }
    given[name] = value;
  }
  if (options.labels !== undefined) given['labels'] = labelsIn(options.labels);
  return { ...defaults, ...given };
}

/** @throws USAGE_INVALID */
function labelsIn(text: string): string[] {
  const labels = text.split(',').map((label) => label.trim());
  const problem = labelsProblem(labels);
  return problem === undefined ? labels : fail('USAGE_INVALID', `--labels ${problem}`, { param: '--labels' });
}

/** The objective with what its training data say of its labels; those that were given stay. @throws DATA_INVALID */
export function withClasses(objective: ObjectiveConfig, dataPath: string): ObjectiveConfig {
  if (objective.name !== 'classification') return objective;
  const { labels } = objective;
  return { ...objective, ...classesOfFile(dataPath, labels.length > 0 ? labels : undefined) };
}
