/** How the learning rate moves over a run. */
export type ScheduleName = 'constant' | 'linear' | 'cosine';
export const SCHEDULES: readonly ScheduleName[] = ['constant', 'linear', 'cosine'];

export interface Schedule {
  readonly name: ScheduleName;
  /** Steps over which the rate rises from 0 to its peak. */
  readonly warmupSteps: number;
  readonly totalSteps: number;
}

/**
 * The factor on the peak learning rate at `step`, counted from 1: linear warm-up that reaches 1 at the last warm-up step, then
 * constant, or a linear or cosine fall (Loshchilov and Hutter, 2017) that reaches 0 one step after the last. Hugging Face counts from 0, so its
 * first step has rate 0 and changes nothing; see docs/divergences.md.
 */
export function scheduleFactor(schedule: Schedule, step: number): number {
  const { name, warmupSteps, totalSteps } = schedule;
  if (step <= warmupSteps) return step / Math.max(1, warmupSteps);
  const progress = Math.min(1, (step - 1 - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
  switch (name) {
    case 'constant':
      return 1;
    case 'linear':
      return 1 - progress;
    case 'cosine':
      return 0.5 * (1 + Math.cos(Math.PI * progress));
    default:
      return name satisfies never;
  }
}
