import type { KvBlocks } from './kv-blocks.ts';
import type { Sequence } from './sequence.ts';

export interface SchedulerLimits {
  /** Rows of one step. */
  readonly maxStepTokens: number;
  readonly maxSequences: number;
}

/** `numNew` rows of a sequence, from `numComputed` on. */
export interface PlannedRows {
  readonly sequence: Sequence;
  readonly numNew: number;
}

/** One step's rows, grouped by adapter. */
export type StepPlan = readonly PlannedRows[];

/**
 * Which rows the next step computes. Pure and synchronous: no clock, no engine. Running sequences come first in order of arrival; then waiting
 * ones are admitted in order of arrival while their blocks fit. A sequence gets all blocks that it can need when it is
 * admitted, so that nothing that runs can ever be stuck.
 */
export class Scheduler {
  readonly #limits: SchedulerLimits;
  readonly #blocks: KvBlocks;
  #waiting: Sequence[] = [];
  #running: Sequence[] = [];

  constructor(limits: SchedulerLimits, blocks: KvBlocks) {
    this.#limits = limits;
    this.#blocks = blocks;
  }

  get numWaiting(): number {
    return this.#waiting.length;
  }

  get numRunning(): number {
    return this.#running.length;
  }

  /** Whether `numTokens` could ever be held. */
  canEverHold(numTokens: number): boolean {
    return this.#blocks.blocksFor(numTokens) <= this.#blocks.numBlocks;
  }

  add(sequence: Sequence): void {
    this.#waiting.push(sequence);
  }

  /** Takes a sequence out, wherever it is, and frees its blocks. */
  remove(sequence: Sequence): void {
    this.#waiting = this.#waiting.filter((other) => other !== sequence);
    this.#running = this.#running.filter((other) => other !== sequence);
    this.#blocks.free(sequence.blocks);
    sequence.blocks = new Int32Array(0);
  }

  schedule(): StepPlan {
    let budget = this.#limits.maxStepTokens;
    const plan: PlannedRows[] = [];
    const give = (sequence: Sequence): void => {
      const numNew = Math.min(budget, sequence.numTokens - sequence.numComputed);
      if (numNew === 0) return;
      budget -= numNew;
      plan.push({ sequence, numNew });
    };
    // One row for each that only waits for its next token, before the long gaps: a long prompt delays nobody's tokens.
    for (const sequence of this.#running) if (isNext(sequence)) give(sequence);
    for (const sequence of this.#running) if (!isNext(sequence)) give(sequence);
    while (budget > 0 && this.#waiting.length > 0 && this.#running.length < this.#limits.maxSequences) {
      const sequence = this.#waiting[0];
      const blocks = this.#blocks.allocate(sequence.maxTokens);
      if (!blocks) break;
      this.#waiting.shift();
      sequence.blocks = blocks;
      this.#running.push(sequence);
      give(sequence);
    }
    const adapterOf = (rows: PlannedRows): string => rows.sequence.request.adapter ?? '';
    return plan.toSorted((a, b) => (adapterOf(a) < adapterOf(b) ? -1 : adapterOf(a) > adapterOf(b) ? 1 : 0));
  }
}

function isNext(sequence: Sequence): boolean {
  return sequence.numTokens - sequence.numComputed === 1;
}
