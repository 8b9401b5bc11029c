import { loadDataOnThread, type DataRequest } from './data-thread.ts';
import type { TrainJob } from './messages.ts';
import type { Teacher } from './objectives/distillation.ts';
import type { LoadedRunData } from './run-data.ts';

/** A run that is on its way into a group. */
export interface JoiningRun {
  readonly id: string;
  readonly job: TrainJob;
  readonly teacher: Teacher | undefined;
  /** It is to leave as soon as it is there. */
  mustStop: boolean;
}

/** A run whose data has been read, or could not be. */
export interface ReadRun {
  readonly run: JoiningRun;
  /** @throws what went wrong */
  readonly data: () => LoadedRunData;
}

/** Runs whose data is being read on threads of their own, while the group goes on. */
export class JoiningRuns {
  readonly #runs = new Map<string, JoiningRun>();
  readonly #tell: (read: ReadRun) => void;

  /** @param tell of each run when its data is there, also of one that was given up */
  constructor(tell: (read: ReadRun) => void) {
    this.#tell = tell;
  }

  get size(): number {
    return this.#runs.size;
  }

  has(id: string): boolean {
    return this.#runs.has(id);
  }

  begin(run: Omit<JoiningRun, 'mustStop'>, request: DataRequest): void {
    const joining = { ...run, mustStop: false };
    this.#runs.set(run.id, joining);
    loadDataOnThread(request).then(
      (data) => this.#tell({ run: joining, data: () => data }),
      (error: unknown) =>
        this.#tell({
          run: joining,
          data: () => {
            throw error;
          },
        }),
    );
  }

  /** Has it leave, with a checkpoint, as soon as it is there. */
  stop(id: string): void {
    const run = this.#runs.get(id);
    if (run) run.mustStop = true;
  }

  /** Forgets a run. */
  delete(id: string): void {
    this.#runs.delete(id);
  }

  /** A run whose data is there is on its way no more. @returns false when it was given up before */
  end(run: JoiningRun): boolean {
    return this.#runs.get(run.id) === run && this.#runs.delete(run.id);
  }
}
