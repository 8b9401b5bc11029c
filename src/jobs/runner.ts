import { assert, EspalierError, errorMessage, systemClock, type Log } from '../base/index.ts';
import type { JobLease, JobLeases } from './job-leases.ts';
import type { Job, JobError } from './job.ts';
import { Places, type Place } from './places.ts';

/** Why work on a job is to stop. `paused`: with a checkpoint, for later; `closing`: for another runner; the others: it is of no use. */
export type StopReason = 'paused' | 'closing' | 'cancelled' | 'lost';

/** What a runner does with a job; both report by the lease, and throw what makes the job fail. */
export interface JobWork {
  /** Checks the files. */
  validate(lease: JobLease, signal: AbortSignal): Promise<void>;
  /** Jobs of which this is equal can be trained in one place; null: this one is trained alone. */
  shareKey(job: Job): string | null;
  /** Trains and publishes; goes on from what an earlier lease left. */
  train(lease: JobLease, signal: AbortSignal, place: Place): Promise<void>;
  /** The last job has left a place. */
  vacate(place: Place): void;
}

export interface RunnerOptions {
  /** Places where jobs are trained, at once; as many are checked meanwhile. */
  readonly maxConcurrent: number;
  /** Jobs that share a place, at most; 1: every job has its own. */
  readonly maxTogether: number;
  readonly log: Log;
  /** Between two looks for work that another process has queued; a second unless told. */
  readonly pollMs?: number;
  /** Before each new try of a job that met with trouble that is not its own, in turn; half a second to five minutes unless told. */
  readonly retryMs?: readonly number[];
  /** Between two signs of life, and the time in which a pause or a cancellation is noticed; half a second unless told. */
  readonly heartbeatMs?: number;
}

const POLL_MS = 1_000;
const HEARTBEAT_MS = 500;
/** A full disk or a busy database is seldom over in a second. */
const RETRY_MS: readonly number[] = [500, 1_000, 2_000, 5_000, 15_000, 60_000, 120_000, 300_000];
/** A turn of this length has made progress: trouble after it is not that of the turn before. */
const LONG_TURN_MS = 600_000;

/** Trouble that a job has met with. */
interface Retry {
  readonly count: number;
  /** By the monotonic clock: it is not taken sooner. */
  readonly notBeforeMs: number;
}

interface Turn {
  readonly lease: JobLease;
  /** Null for a check. */
  readonly place: Place | null;
}

/**
 * Takes jobs and works on them, some at once. Nobody passes the job whose turn it is: while there is no room for that one, none is taken, so that
 * a job that has to be alone does not wait for as long as others come to share. A job that has met with trouble is trained alone from then on:
 * what is wrong with it then harms nobody else. Disposing of the runner stops jobs at their next step and gives them back.
 */
export class JobRunner implements AsyncDisposable {
  readonly #leases: JobLeases;
  readonly #work: JobWork;
  readonly #options: RunnerOptions;
  readonly #places: Places;
  readonly #active = new Map<Promise<void>, AbortController>();
  #numChecks = 0;
  readonly #retries = new Map<string, Retry>();
  #poll: NodeJS.Timeout | undefined;
  #isClosing = false;

  constructor(leases: JobLeases, work: JobWork, options: RunnerOptions) {
    this.#leases = leases;
    this.#work = work;
    this.#options = options;
    this.#places = new Places({ maxPlaces: options.maxConcurrent, maxTogether: options.maxTogether });
  }

  start(): void {
    this.#poll = setInterval(() => this.wake(), this.#options.pollMs ?? POLL_MS);
    this.wake();
  }

  /** Looks for work now. */
  wake(): void {
    while (!this.#isClosing) {
      const turn = this.#take();
      if (!turn) return;
      const stop = new AbortController();
      if (!turn.place) this.#numChecks++;
      const run = this.#run(turn, stop).finally(() => {
        this.#active.delete(run);
        this.#leave(turn);
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
  #take(): Turn | undefined {
    try {
      const now = systemClock.nowMs();
      const isDue = ({ id }: Job): boolean => (this.#retries.get(id)?.notBeforeMs ?? 0) <= now;
      const hasChecker = this.#numChecks < this.#options.maxConcurrent;
      const checking = hasChecker ? this.#leases.take('check', { isDue }) : undefined;
      if (checking) return { lease: checking, place: null };
      const hasRoom = (job: Job): boolean => this.#places.hasRoom(job, this.#keyOf(job));
      const lease = this.#leases.take('train', { isDue, hasRoom });
      if (!lease) return undefined;
      const place = this.#places.enter(lease.job, this.#keyOf(lease.job));
      assert(place, 'a job is taken where there is room for it');
      return { lease, place };
    } catch (error) {
      this.#options.log.error({ error: errorMessage(error) }, 'no job could be taken');
      return undefined;
    }
  }

  #keyOf(job: Job): string | null {
    return this.#retries.has(job.id) ? null : this.#work.shareKey(job);
  }

  #leave({ lease, place }: Turn): void {
    if (!place) this.#numChecks--;
    else if (this.#places.leave(place, lease.job.id)) this.#work.vacate(place);
  }

  async #run({ lease, place }: Turn, stop: AbortController): Promise<void> {
    const { job } = lease;
    const { log, heartbeatMs = HEARTBEAT_MS } = this.#options;
    const begunMs = systemClock.nowMs();
    const beat = setInterval(() => this.#beat(lease, stop), heartbeatMs);
    try {
      if (place) await this.#work.train(lease, stop.signal, place);
      else await this.#work.validate(lease, stop.signal);
      this.#retries.delete(job.id);
    } catch (error) {
      if (!stop.signal.aborted) this.#fail(lease, error, begunMs);
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

  #fail(lease: JobLease, error: unknown, begunMs: number): void {
    const { job } = lease;
    const { log, retryMs = RETRY_MS } = this.#options;
    const now = systemClock.nowMs();
    const before = now - begunMs < LONG_TURN_MS ? (this.#retries.get(job.id)?.count ?? 0) : 0;
    const waitMs = retryMs.at(Math.min(before, retryMs.length - 1)) ?? 0;
    this.#retries.set(job.id, { count: before + 1, notBeforeMs: now + waitMs });
    const canRetry = error instanceof EspalierError && error.canRetry && before < retryMs.length;
    log.error({ job: job.id, tenant: job.tenant, error: errorMessage(error), canRetry }, 'a job met with an error');
    if (canRetry) return;
    try {
      this.#leases.failed(lease, jobErrorOf(error));
    } catch (cause) {
      // It is tried once more, and fails then.
      log.error({ job: job.id, error: errorMessage(cause) }, 'the failure of a job could not be written down');
    }
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
    // How much a tenant may have is its own affair, and so is what it can remove.
    if (error.kind === 'invalid' || error.code === 'QUOTA_EXCEEDED')
      return { code: error.code.toLowerCase(), message: error.message, param: null };
  }
  return { code: 'internal_error', message: 'the server failed to run the job; its log tells why', param: null };
}
