import { errorMessage, type Log } from '../../base/index.ts';
import type { Place } from '../../jobs/index.ts';
import { DEFAULT_MICRO_BATCH_TOKENS, type TrainJob, type TrainResult } from '../../training/index.ts';
import { GroupProcess } from '../runs/group-process.ts';
import { runTrainer, type TrainerEvents, type TrainerSignals } from '../runs/trainer-process.ts';

/** The processes in which jobs are trained, one for each place. A shared one holds the activations of one job's micro-batch, however many share it. */
export class JobTrainers implements AsyncDisposable {
  readonly #log: Log;
  readonly #processes = new Map<Place, GroupProcess>();
  readonly #ending = new Set<Promise<void>>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** @returns undefined when it was stopped @throws what the run throws; CANCELLED TRAINER_DIED as {@link runTrainer} does */
  run(
    place: Place,
    id: string,
    job: TrainJob,
    events: TrainerEvents,
    signals: TrainerSignals,
  ): Promise<TrainResult | undefined> {
    if (place.key === null) return runTrainer(job, events, signals);
    return this.#processOf(place, job).run(id, job, events, signals);
  }

  /** Nobody is trained there any more. */
  vacate(place: Place): void {
    const process = this.#processes.get(place);
    this.#processes.delete(place);
    if (process) this.#end(process);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const place of this.#processes.keys()) this.vacate(place);
    await Promise.all(this.#ending);
  }

  #processOf(place: Place, { base, threads }: TrainJob): GroupProcess {
    const found = this.#processes.get(place);
    if (found?.isAlive) return found;
    if (found) this.#end(found);
    const made = new GroupProcess({ base, threads, maxTokens: DEFAULT_MICRO_BATCH_TOKENS });
    this.#processes.set(place, made);
    return made;
  }

  #end(process: GroupProcess): void {
    const ending = process
      .end()
      .catch((error: unknown) => this.#log.error({ error: errorMessage(error) }, 'a training process did not end'))
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }
}
