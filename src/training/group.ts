import { asEspalierError, assert, type EspalierError } from '../base/index.ts';
import type { BaseModel } from '../model/index.ts';
import { Tape, type BufferPool } from '../numeric/index.ts';
import { trainedMethodOf } from './full-model.ts';
import { groupStep } from './group-step.ts';
import { joinBatches } from './join-batches.ts';
import type { PackedBatch } from './pack.ts';
import type { OpenStep, TrainingRun } from './run.ts';
import type { StepReport } from './run-state.ts';
import { spanHooks, type RunSpan } from './span-hooks.ts';
import { rowsOf, type BatchLoss } from './step.ts';

/** What a pass did to a run. A run that is finished or has failed has left the group. */
export type GroupEvent =
  | { readonly type: 'step'; readonly id: string; readonly report: StepReport }
  | { readonly type: 'finished'; readonly id: string }
  | { readonly type: 'failed'; readonly id: string; readonly error: EspalierError };

interface Member {
  readonly id: string;
  readonly run: TrainingRun;
  open: OpenStep | undefined;
  losses: BatchLoss[];
}

/** A run's micro-batch that is in a pass. */
interface Taken {
  readonly member: Member;
  readonly open: OpenStep;
  readonly batch: PackedBatch;
  /** The rows that it is computed in. */
  readonly rows: PackedBatch;
}

/**
 * Runs that are trained together over one base, whatever their methods and objectives: a pass packs the next micro-batch of each of them
 * into one forward and backward pass. Runs join and leave between passes. No sum crosses a run's rows, so each ends in the bytes that it has alone.
 */
export class TrainingGroup {
  readonly #base: BaseModel;
  readonly #pool: BufferPool;
  readonly #maxTokens: number;
  /** The next to be served first. */
  #members: Member[] = [];

  /**
   * @param pool the one that the runs were made with
   * @param maxTokens tokens of one pass, at most: bounds the memory; a micro-batch that is longer has a pass of its own
   */
  constructor(base: BaseModel, pool: BufferPool, maxTokens: number) {
    this.#base = base;
    this.#pool = pool;
    this.#maxTokens = maxTokens;
  }

  get size(): number {
    return this.#members.length;
  }

  /** Takes a run in, with the next pass. */
  add(id: string, run: TrainingRun): void {
    assert(!this.#members.some((member) => member.id === id), `the group has one run ${id}`);
    this.#members.push({ id, run, open: undefined, losses: [] });
  }

  /** Takes a run out as it was after its last whole step. @returns false if it is not there */
  remove(id: string): boolean {
    const before = this.#members.length;
    this.#members = this.#members.filter((member) => member.id !== id);
    return this.#members.length < before;
  }

  /** One forward and backward pass; runs whose step is complete then apply it. */
  pass(): GroupEvent[] {
    const events: GroupEvent[] = [];
    for (const { id } of this.#members.filter(({ run }) => run.isDone)) this.#leave(id, events);
    const taken = this.#take();
    if (taken.length > 0) this.#train(taken);
    for (const member of this.#members) {
      if (member.open && member.losses.length === member.open.batches.length) this.#close(member, events);
    }
    return events;
  }

  /** In turn, as many micro-batches as fit. Who did not fit is first the next time. */
  #take(): Taken[] {
    const taken: Taken[] = [];
    const waiting: Member[] = [];
    let tokens = 0;
    let mustWait = false;
    for (const member of this.#members) {
      const open = (member.open ??= member.run.openStep());
      const batch = open.batches.at(member.losses.length);
      if (!batch) {
        // A step without a single target: closing it says what is wrong.
        waiting.push(member);
        continue;
      }
      // Once somebody waits, nobody who stands behind may go first: a long micro-batch would never fit.
      if (mustWait) {
        waiting.push(member);
        continue;
      }
      const rows = rowsOf(batch, open.hooks, member.run.sharesPrefix);
      const length = rows.tokenIds_T.length;
      if (taken.length > 0 && tokens + length > this.#maxTokens) {
        waiting.push(member);
        mustWait = true;
        continue;
      }
      taken.push({ member, open, batch, rows });
      tokens += length;
    }
    this.#members = [...waiting, ...taken.map(({ member }) => member)];
    return taken;
  }

  #train(taken: readonly Taken[]): void {
    const spans: RunSpan[] = [];
    for (const { member, open, rows } of taken) {
      const begin = spans.at(-1)?.end ?? 0;
      const sharesProduct = trainedMethodOf(member.run.config.adapter).sharesProduct ?? false;
      spans.push({ begin, end: begin + rows.tokenIds_T.length, hooks: open.hooks, sharesProduct });
    }
    const parts = taken.map(({ member: { run }, batch, open: { hooks } }) => {
      return { batch, hooks, objective: run.objective };
    });
    const joined = joinBatches(taken.map(({ rows }) => rows));
    const parameters = taken.flatMap(({ member }) => member.run.parameters);
    // It changes no bit of anybody's gradients.
    const recompute = taken.some(({ member }) => member.run.config.recompute);
    const tape = new Tape(this.#base.kernels, this.#pool, parameters, { recompute });
    const losses = groupStep(tape, this.#base, spanHooks(spans), joined, parts);
    for (const [index, { member }] of taken.entries()) member.losses.push(losses[index]);
  }

  #close(member: Member, events: GroupEvent[]): void {
    const { id, run, open, losses } = member;
    assert(open, 'a member that closes has an open step');
    member.open = undefined;
    member.losses = [];
    try {
      events.push({ type: 'step', id, report: run.closeStep(open, losses) });
      if (run.isDone) this.#leave(id, events);
    } catch (error) {
      this.remove(id);
      events.push({ type: 'failed', id, error: asEspalierError(error) });
    }
  }

  #leave(id: string, events: GroupEvent[]): void {
    this.remove(id);
    events.push({ type: 'finished', id });
  }
}
