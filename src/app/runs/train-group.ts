import { EspalierError, fail, rebuildError, remoteError, systemClock } from '../../base/index.ts';
import type { WeightFormat } from '../../numeric/index.ts';
import type { FromGroup, FromTrainer, GroupJob, ToGroup, TrainResult } from '../../training/index.ts';
import { resolveBase, type ModelProgress } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { RunJournal } from './journal.ts';
import { baseFormat } from './run-settings.ts';
import {
  journalled,
  outcomeOf,
  publishTarget,
  publishTrained,
  trainJob,
  type TrainEvents,
  type TrainOutcome,
} from './train.ts';
import type { TrainOptions } from './train-options.ts';
import { forkTrainer, tellEvents } from './trainer-process.ts';

/** One run of a group, by a name that is the group's own. Base and format are the group's, and so is what bounds the memory. */
export interface GroupRun {
  readonly name: string;
  readonly options: Omit<TrainOptions, 'base' | 'format' | 'memory'>;
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
  /** Settles when the run is over; never rejects. The run joins after the pass that is under way. @throws REQUEST_INVALID for a name in use */
  add(run: GroupRun, events?: TrainEvents): Promise<GroupOutcome>;
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
  const child = forkTrainer();
  const abort = (): void => void child.kill();
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  const live = new Map<string, (message: FromTrainer) => void>();
  let publishing: Promise<unknown> = Promise.resolve();
  let broken: EspalierError | undefined;
  const failAll = (error: EspalierError): void => {
    broken ??= error;
    for (const tell of live.values()) tell({ type: 'failed', error: remoteError(broken) });
  };
  child.on('message', (message: FromGroup | Extract<FromTrainer, { type: 'failed' }>) => {
    if (message.type === 'run') live.get(message.id)?.(message.message);
    else failAll(rebuildError(message.error));
  });
  const closed = new Promise<void>((resolve) => {
    child.once('error', (error) => failAll(new EspalierError('INTERNAL', error.message)));
    // Not `exit`, which can come before the last message has been read.
    child.once('close', (code, killedBy) => {
      const what = killedBy ? `was ended by ${killedBy}` : `ended with code ${code}`;
      const advice = 'run again with --resume to go on from the last checkpoints';
      failAll(
        new EspalierError(signal?.aborted ? 'CANCELLED' : 'TRAINER_DIED', `the training process ${what}: ${advice}`),
      );
      signal?.removeEventListener('abort', abort);
      resolve();
    });
  });
  const tell = (message: GroupJob | ToGroup): void => {
    // A send that fails means that the process is gone: `close` says so to every run.
    if (child.connected) child.send(message, () => undefined);
  };
  tell({ type: 'group', base: base.open, threads: config.threads, maxTokens: options.maxTokens });

  const train = async (name: string, runOptions: TrainOptions, events: TrainEvents): Promise<GroupOutcome> => {
    try {
      if (broken) throw broken;
      baseFormat(runOptions);
      const target = publishTarget(runOptions.publish);
      const job = trainJob(config, runOptions, base);
      using journal = new RunJournal(base, job, { tensorboard: runOptions.tensorboard, clock: systemClock });
      const watching = journalled(journal, events);
      const result = await new Promise<TrainResult>((resolve, reject) => {
        live.set(name, (message) => {
          if (tellEvents(watching, message)) return;
          switch (message.type) {
            case 'done':
              resolve(message.result);
              return;
            case 'failed':
              reject(rebuildError(message.error));
              return;
            default:
              reject(new EspalierError('INTERNAL', `a run of a group said ${message.type}`));
          }
        });
        tell({ type: 'add', id: name, job });
      });
      const outcome = outcomeOf(job, journal, result);
      if (!target) return { name, outcome };
      // One after another: each opens the platform for itself.
      const publication = { target, method: runOptions.method };
      const published = publishing.then(() => publishTrained(config, base, job, outcome, publication));
      publishing = published.catch(() => undefined);
      return { name, outcome: await published };
    } catch (error) {
      if (!(error instanceof EspalierError)) throw error;
      return { name, error };
    } finally {
      live.delete(name);
    }
  };

  return {
    add({ name, options: runOptions }, events = {}) {
      if (live.has(name)) fail('REQUEST_INVALID', `the group already has a run ${name}: give each its own name`);
      return train(name, { ...runOptions, base: options.base, format }, events);
    },
    cancel: (id) => tell({ type: 'cancel', id }),
    async end() {
      tell({ type: 'end' });
      await closed;
    },
  };
}
