import { EspalierError, errorMessage, type Log } from '../base/index.ts';
import type { JobLease, JobLeases } from './job-leases.ts';
import type { JobError } from './job.ts';

/** Why work on a job is to stop. `paused`: with a checkpoint, for later; `closing`: for another runner; the others: it is of no use. */
export type StopReason = 'paused' | 'closing' | 'cancelled' | 'lost';

/** What a runner does with a job; both report by the lease, and throw what makes the job fail. */
export interface JobWork {
  /** Checks the files. */
  validate(lease: JobLease, signal: AbortSignal): Promise<void>;
  /** Trains and publishes; goes on from what an earlier lease left. */
  train(lease: JobLease, signal: AbortSignal): Promise<void>;
}

export interface RunnerOptions {
  /** Jobs at once. */
  readonly maxConcurrent: number;
  readonly log: Log;
  /** Between two looks for work that another process has queued; a second unless told. */
  readonly pollMs?: number;
  /** Between two signs of life, and the time in which a pause or a cancellation is noticed; half a second unless told. */
  readonly heartbeatMs?: number;
}

const POLL_MS = 1_000;
const HEARTBEAT_MS = 500;
/** How often a job is tried again after trouble that is not its own. */
const MAX_RETRIES = 5;

/** Takes jobs and works on them, some at once. Disposing of it stops them at their next step and gives them back. */
export class JobRunner implements AsyncDisposable {
  readonly #leases: JobLeases;
  readonly #work: JobWork;
  readonly #options: RunnerOptions;
  readonly #active = new Map<Promise<void>, AbortController>();
  readonly #retries = new Map<string, number>();
  #poll: NodeJS.Timeout | undefined;
  #isClosing = false;

  constructor(leases: JobLeases, work: JobWork, options: RunnerOptions) {
    this.#leases = leases;
    this.#work = work;
    this.#options = options;
  }

  start(): void {
    this.#poll = setInterval(() => this.wake(), this.#options.pollMs ?? POLL_MS);
    this.wake();
  }

  /** Looks for work now. */
  wake(): void {
    while (!this.#isClosing && this.#active.size < this.#options.maxConcurrent) {
      const lease = this.#take();
      if (!lease) return;
      const stop = new AbortController();
      const run = this.#run(lease, stop).finally(() => {
        this.#active.delete(run);
        this.wake();
      });
      this.#active.set(run, stop);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#poll);
    for (const stop of this.#active.values()) stop.abort('closing' satisfies StopReason);
    await Promise.all(this.#active.keys());
  }

  /** A database that is busy for long is no reason to end the server: the next look comes soon. */
  #take(): JobLease | undefined {
    try {
      return this.#leases.take();
    } catch (error) {
      this.#options.log.error({ error: errorMessage(error) }, 'no job could be taken');
      return undefined;
    }
  }

  async #run(lease: JobLease, stop: AbortController): Promise<void> {
    const { job } = lease;
    const { log, heartbeatMs = HEARTBEAT_MS } = this.#options;
    const beat = setInterval(() => this.#beat(lease, stop), heartbeatMs);
    try {
      if (job.status === 'validating_files') await this.#work.validate(lease, stop.signal);
      else await this.#work.train(lease, stop.signal);
      this.#retries.delete(job.id);
    } catch (error) {
      if (!stop.signal.aborted) this.#fail(lease, error);
    } finally {
      clearInterval(beat);
      this.#release(lease);
    }
    log.info({ job: job.id, tenant: job.tenant, stopped: stop.signal.reason as unknown }, 'a turn of a job ended');
  }

  #beat(lease: JobLease, stop: AbortController): void {
    try {
      const status = this.#leases.heartbeat(lease);
      if (status === lease.job.status || stop.signal.aborted) return;
      const reason: StopReason = status === undefined ? 'lost' : status === 'cancelled' ? 'cancelled' : 'paused';
      // Its own report moves a job on as well: then the work is over anyway.
      if (status !== 'succeeded' && status !== 'failed') stop.abort(reason);
    } catch (error) {
      // The lease lasts for many beats.
      this.#options.log.warn({ job: lease.job.id, error: errorMessage(error) }, 'a heartbeat failed');
    }
  }

  #fail(lease: JobLease, error: unknown): void {
    const { job } = lease;
    const { log } = this.#options;
    const numRetries = (this.#retries.get(job.id) ?? 0) + 1;
    this.#retries.set(job.id, numRetries);
    const canRetry = error instanceof EspalierError && error.canRetry && numRetries <= MAX_RETRIES;
    log.error({ job: job.id, tenant: job.tenant, error: errorMessage(error), canRetry }, 'a job met with an error');
    if (!canRetry) this.#leases.failed(lease, jobErrorOf(error));
  }

  #release(lease: JobLease): void {
    try {
      this.#leases.release(lease);
    } catch (error) {
      // It is free when its time is over.
      this.#options.log.error({ job: lease.job.id, error: errorMessage(error) }, 'a lease could not be given back');
    }
  }
}

/** What the tenant is told: its own mistakes in full, our trouble without its details, which may hold paths. */
function jobErrorOf(error: unknown): JobError {
  if (error instanceof EspalierError) {
    if (error.code === 'DATA_INVALID') {
      return { code: 'invalid_training_file', message: error.message, param: error.param ?? 'training_file' };
    }
    if (error.kind === 'invalid') return { code: error.code.toLowerCase(), message: error.message, param: null };
  }
  return { code: 'internal_error', message: 'the server failed to run the job; its log tells why', param: null };
}
