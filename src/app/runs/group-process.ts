import { EspalierError, rebuildError, remoteError } from '../../base/index.ts';
import type { OpenBaseOptions } from '../../model/index.ts';
import type { FromGroup, FromTrainer, GroupJob, ToGroup, TrainJob, TrainResult } from '../../training/index.ts';
import { forkTrainer, hear, type TrainerEvents, type TrainerSignals } from './trainer-process.ts';

export interface GroupProcessOptions {
  readonly base: OpenBaseOptions;
  readonly threads: number | undefined;
  /** Tokens of one pass over all runs, at most: bounds the memory. */
  readonly maxTokens: number;
  /** Ends the process at once, and every run with it. */
  readonly signal?: AbortSignal | undefined;
}

/** A process that trains the runs that it is given together, over one base (training/group-job.ts). */
export class GroupProcess {
  readonly #child = forkTrainer();
  readonly #live = new Map<string, (message: FromTrainer) => void>();
  readonly #closed: Promise<void>;
  #broken: EspalierError | undefined;

  constructor({ base, threads, maxTokens, signal }: GroupProcessOptions) {
    const child = this.#child;
    const abort = (): void => void child.kill('SIGKILL');
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    child.on('message', (message: FromGroup | Extract<FromTrainer, { type: 'failed' }>) => {
      if (message.type === 'run') this.#live.get(message.id)?.(message.message);
      else this.#failAll(rebuildError(message.error));
    });
    this.#closed = new Promise<void>((resolve) => {
      child.once('error', (error) => this.#failAll(new EspalierError('INTERNAL', error.message)));
      // Not `exit`, which can come before the last message has been read.
      child.once('close', (code, killedBy) => {
        const what = killedBy ? `was ended by ${killedBy}` : `ended with code ${code}`;
        const advice = 'run again with --resume to go on from the last checkpoints';
        const reason = signal?.aborted ? 'CANCELLED' : 'TRAINER_DIED';
        this.#failAll(new EspalierError(reason, `the training process ${what}: ${advice}`));
        signal?.removeEventListener('abort', abort);
        resolve();
      });
    });
    this.#tell({ type: 'group', base, threads, maxTokens });
  }

  /** Whether runs can still be added. */
  get isAlive(): boolean {
    return this.#broken === undefined;
  }

  has(id: string): boolean {
    return this.#live.has(id);
  }

  /**
   * Trains a run, which joins after the pass that is under way.
   * @param id the run's, among those that are there
   * @returns undefined when it was stopped: its checkpoint is there for another to go on
   * @throws what the run throws; CANCELLED; TRAINER_DIED the process has ended: the last checkpoint stays
   */
  async run(
    id: string,
    job: TrainJob,
    events: TrainerEvents = {},
    { abort, stop }: TrainerSignals = {},
  ): Promise<TrainResult | undefined> {
    if (this.#broken) throw this.#broken;
    const onAbort = (): void => this.#tell({ type: 'drop', id });
    const onStop = (): void => this.#tell({ type: 'stop', id });
    try {
      return await new Promise<TrainResult | undefined>((settle, reject) => {
        this.#live.set(id, (message) => hear(message, events, { settle, reject }));
        this.#tell({ type: 'add', id, job });
        abort?.addEventListener('abort', onAbort, { once: true });
        stop?.addEventListener('abort', onStop, { once: true });
        if (abort?.aborted) onAbort();
        if (stop?.aborted) onStop();
      });
    } finally {
      abort?.removeEventListener('abort', onAbort);
      stop?.removeEventListener('abort', onStop);
      this.#live.delete(id);
    }
  }

  /** The run leaves with a checkpoint, and ends as CANCELLED. */
  cancel(id: string): void {
    this.#tell({ type: 'cancel', id });
  }

  /** No more runs will be added. Settles when every run is over and the process has ended. */
  async end(): Promise<void> {
    this.#tell({ type: 'end' });
    await this.#closed;
  }

  #tell(message: GroupJob | ToGroup): void {
    // A send that fails means that the process is gone: `close` says so to every run.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  #failAll(error: EspalierError): void {
    this.#broken ??= error;
    for (const tell of this.#live.values()) tell({ type: 'failed', error: remoteError(this.#broken) });
  }
}
