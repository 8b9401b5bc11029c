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
  /** It is known to give labels; of others the server says it when they are asked. */
  readonly givesLabels: boolean;
}

/** The playground with a model in it. @param method what a job's model has learned */
export function playgroundOf(model: string, method?: string): string {
  const gives = method === 'classification' ? '&gives=labels' : '';
  return `/playground?model=${encodeURIComponent(model)}${gives}`;
}

export function subjectOfModel(name: string, givesLabels = false): Subject {
  return { value: name, label: name, model: name, task: null, isScored: false, givesLabels };
}

/** @param models to find the base of the task's versions, which is what a request for a task names */
export function subjectOfTask(
  { task, latest, canary }: TaskRoute,
  models: ModelList['data'],
  firstBase: string | undefined,
): Subject | undefined {
  const name = latest?.split('@')[0];
  const base = models.find(({ id }) => id === name)?.parent ?? firstBase;
  if (base === undefined) return undefined;
  return {
    value: `task:${task}`,
    label: `${task}, by its route`,
    model: base,
    task,
    isScored: canary !== null,
    givesLabels: false,
  };
}
