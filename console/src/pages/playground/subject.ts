import type { ModelList, TaskRoute } from '../../api/types.ts';

/** What a column asks: a model by its name, or a task, whose route picks the version. */
export interface Subject {
  /** Tells it from the others of the list. */
  readonly value: string;
  readonly label: string;
  readonly model: string;
  readonly task: string | null;
  /** Answers are counted for a canary, and so are their scores. */
  readonly isScored: boolean;
  /** What is known of the labels that it gives; of one that is not in the list, or has just changed, the server says it when it is asked. */
  readonly classes: Classes;
}

type Classes = ModelList['data'][number]['classes'];

/** The playground with a model in it. */
export function playgroundOf(model: string): string {
  return `/playground?model=${encodeURIComponent(model)}`;
}

/** @param models all that are known; a checkpoint's name may be none of them */
export function subjectOfModel(name: string, models: ModelList['data']): Subject {
  const classes = models.find(({ id }) => id === name)?.classes ?? null;
  return { value: name, label: name, model: name, task: null, isScored: false, classes };
}

/** @param models to find the version that answers the task: its base is what a request for a task names */
export function subjectOfTask(
  { task, latest, canary }: TaskRoute,
  models: ModelList['data'],
  firstBase: string | undefined,
): Subject | undefined {
  const version = models.find(({ id }) => id === latest);
  const base = version?.parent ?? firstBase;
  if (base === undefined) return undefined;
  return {
    value: `task:${task}`,
    label: `${task}, by its route`,
    model: base,
    task,
    isScored: canary !== null,
    classes: version?.classes ?? null,
  };
}
