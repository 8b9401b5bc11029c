import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { EspalierError, fail, systemClock } from '../../base/index.ts';
import type { WeightFormat } from '../../numeric/index.ts';
import { CHECKPOINT_FILE } from '../../training/index.ts';
import { resolveBase, type ModelProgress } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { GroupProcess } from './group-process.ts';
import { RunJournal } from './journal.ts';
import { recordedOutcome } from './recorded-outcome.ts';
import { claimRunFolder } from './run-folder.ts';
import { baseFormat } from './run-settings.ts';
import {
  failStopped,
  journalled,
  outcomeOf,
  publishTarget,
  publishTrained,
  trainJob,
  type TrainEvents,
  type TrainOutcome,
} from './train.ts';
import { teacherOf, type FoundTeacher } from './teacher.ts';
import type { TrainOptions } from './train-options.ts';

/** One run of a group, by a name that is the group's own. Base and format are the group's, and so is what bounds the memory. */
export interface GroupRun {
  readonly name: string;
  readonly options: Omit<TrainOptions, 'base' | 'format' | 'memory'>;
  /** Goes on from what an earlier process has left in the output folder: a result of these very settings, a checkpoint, or nothing. */
  readonly continues?: boolean | undefined;
}

export interface GroupOptions {
  readonly base: string;
  /** How the base's weights are held for all runs: nf4 when there is a qlora among them; bf16 by default. */
  readonly format?: WeightFormat | undefined;
  /** Tokens of one forward and backward pass over all runs, at most: bounds the memory. */
  readonly maxTokens: number;
  readonly onModelProgress?: ModelProgress | undefined;
}

/** How a run ended: with an adapter, or with the error that took it out of the group. */
export type GroupOutcome =
  | { readonly name: string; readonly outcome: TrainOutcome; readonly error?: undefined }
  | { readonly name: string; readonly outcome?: undefined; readonly error: EspalierError };

/** Runs that share one process and one base. */
export interface RunningGroup {
  /**
   * Settles when the run is over; never rejects. The run joins after the pass that is under way.
   * @param stop the run leaves with a checkpoint, and ends as CANCELLED
   * @throws REQUEST_INVALID for a name in use
   */
  add(run: GroupRun, events?: TrainEvents, stop?: AbortSignal): Promise<GroupOutcome>;
  /** The run leaves with a checkpoint, and ends as CANCELLED. */
  cancel(name: string): void;
  /** No more runs will be added. Settles when every run is over and the process has ended. */
  end(): Promise<void>;
}

/**
 * Starts a process that trains many adapters together. Nothing is lost with it: runs whose process dies end with an error that says
 * how to resume them.
 */
export async function trainGroup(
  config: AppConfig,
  options: GroupOptions,
  signal?: AbortSignal,
): Promise<RunningGroup> {
  const { format = 'bf16' } = options;
  const base = await resolveBase(config, options.base, options.onModelProgress, format, 'training');
  const { threads } = config;
  const group = new GroupProcess({ base: base.open, threads, maxTokens: options.maxTokens, signal });
  let publishing: Promise<unknown> = Promise.resolve();
  /** Runs whose teachers are being looked for. */
  const joining = new Map<string, Promise<FoundTeacher | undefined>>();

  const train = async (
    { name, continues }: GroupRun,
    asked: TrainOptions,
    events: TrainEvents,
    stop: AbortSignal | undefined,
  ): Promise<GroupOutcome> => {
    const resume = continues ? existsSync(join(asked.output, CHECKPOINT_FILE)) : asked.resume;
    const runOptions = { ...asked, resume };
    try {
      baseFormat(runOptions);
      const target = publishTarget(runOptions.publish);
      const teacher = joining.has(name) ? await joining.get(name) : undefined;
      const job = trainJob(config, runOptions, base, undefined, teacher);
      using _claim = claimRunFolder(job.output, { resume: job.resume, restart: !job.resume });
      using journal = new RunJournal(base, job, { tensorboard: runOptions.tensorboard, clock: systemClock });
      const reached = continues ? recordedOutcome(base, job) : undefined;
      const result = reached ?? (await group.run(name, job, journalled(journal, events), { stop }));
      if (!result) return failStopped(job.output);
      const outcome = reached ?? outcomeOf(job, journal, result);
      if (!target) return { name, outcome };
      // One after another: each opens the platform for itself.
      const publication = { target, method: runOptions.method };
      const published = publishing.then(() => publishTrained(config, base, job, outcome, publication));
      publishing = published.catch(() => undefined);
      return { name, outcome: await published };
    } catch (error) {
      if (!(error instanceof EspalierError)) throw error;
      return { name, error };
    }
  };

  return {
    add(run, events = {}, stop?) {
      const { name, options: runOptions } = run;
      if (group.has(name) || joining.has(name)) {
        fail('REQUEST_INVALID', `the group already has a run ${name}: give each its own name`);
      }
      if (runOptions.teacher !== undefined) {
        const found = teacherOf(config, runOptions, base).finally(() => joining.delete(name));
        joining.set(name, found);
      }
      return train(run, { ...runOptions, base: options.base, format }, events, stop);
    },
    cancel: (name) => group.cancel(name),
    async end() {
      await Promise.allSettled(joining.values());
      await group.end();
    },
  };
}
