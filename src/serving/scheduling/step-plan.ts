import type { Sequence } from '../sequence.ts';
import type { Draft } from '../speculation/drafts.ts';
import type { GivenUp } from './fair-queue.ts';
import type { QueueLimits } from './queue-limits.ts';

export interface SchedulerLimits extends QueueLimits {
  /** Rows of one step. */
  readonly maxStepTokens: number;
  /** Next tokens of a sequence that are guessed and checked in one step; 0 or absent: none. */
  readonly maxDraftTokens?: number | undefined;
}

/** `numNew` positions of a sequence, from `numComputed` on, and after them those of guessed tokens. */
export interface PlannedRows {
  readonly sequence: Sequence;
  readonly numNew: number;
  /** Without tokens unless the positions before it are the sequence's last. */
  readonly draft: Draft;
}

/** One step's rows, grouped by adapter. */
export type StepPlan = readonly PlannedRows[];

export interface Schedule {
  readonly plan: StepPlan;
  /** Requests that are not scheduled any more. */
  readonly givenUp: readonly GivenUp[];
}
