import { hostname } from 'node:os';
import { assert, newId, type Clock } from '../base/index.ts';
import { isProcessAlive, type BlobInfo, type Database } from '../storage/index.ts';
import { addCheckpoint, hasCheckpoint, isCheckpoint, removeCheckpoints } from './checkpoints.ts';
import { chooseJob, type TenantShare } from './fair-choice.ts';
import type { FileStore } from './files.ts';
import type { ResolvedHyperparameters } from './hyperparameters.ts';
import { addEvent, hasSteps, removeSteps, stepMetrics } from './job-events.ts';
import { digestsOf, jobOf, type JobRow } from './job-rows.ts';
import { isFinal, nextStatus, type JobReport, type JobStatus } from './job-status.ts';
import type { CheckpointMetrics, Job, JobError, NewJobEvent } from './job.ts';

/** The right to work on a job. Whoever has lost it changes nothing any more. */
export interface JobLease {
  readonly token: string;
  readonly job: Job;
}

/** What a job has become when it succeeds. */
export interface JobSuccess {
  readonly reference: string;
  readonly trainedTokens: number;
  readonly results: BlobInfo;
}

/** What is done with a job: its files are checked, then it is trained. */
export type JobStage = 'check' | 'train';

/** What a runner knows of a job. */
export interface TakeRules {
  /** Whether the job has a turn at all; others do not wait for one that has none. */
  readonly isDue?: (job: Job) => boolean;
  /** Whether it can be worked on now. */
  readonly hasRoom?: (job: Job) => boolean;
}

/** How long a lease lasts without a heartbeat: what a host that disappears costs. */
const LEASE_MS = 60_000;

interface ShareRow {
  readonly tenant: string;
  readonly last: number | null;
}

/**
 * The queue from the side of those that run jobs. A lease is taken, kept up by heartbeats, and given back; that of a process of this host
 * that is gone is free at once, another one when its time is over. Every report is one transaction that does nothing unless the lease is
 * still held and the job's state lets it: so a job ends once, whoever else believed to run it.
 */
export class JobLeases {
  readonly #database: Database;
  readonly #files: FileStore;
  readonly #clock: Clock;
  readonly #onEnd: ((job: Job) => void) | undefined;
  /** Leases that this object has given out and not taken back. */
  readonly #held = new Set<string>();

  /** @param onEnd told of a job that its runner has ended, inside the transaction that ends it */
  constructor(database: Database, files: FileStore, clock: Clock, onEnd?: (job: Job) => void) {
    this.#database = database;
    this.#files = files;
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  /**
   * Takes the job whose turn it is, see {@link chooseJob}.
   * @param what of those whose files are to be checked, or of those that are to be trained
   * @returns undefined when there is none, or no room for it: nobody passes the one whose turn it is
   */
  take(what: JobStage, { isDue = () => true, hasRoom = () => true }: TakeRules = {}): JobLease | undefined {
    return this.#database.transaction(() => {
      const now = Math.floor(this.#clock.epochMs());
      const rows = this.#database
        .all<JobRow>(
          "SELECT * FROM jobs WHERE status IN ('validating_files', 'queued', 'running') OR lease_token IS NOT NULL ORDER BY seq",
        )
        .filter(({ resolved }) => (resolved === null) === (what === 'check'));
      const isFree = (row: JobRow): boolean => row.lease_token === null || this.#isOver(row, now);
      const isWaiting = ({ status }: JobRow): boolean => !isFinal(status) && status !== 'paused';
      const candidates = rows.filter((row) => isFree(row) && isWaiting(row) && isDue(jobOf(row)));
      const running = rows.filter((row) => !isFree(row));
      const chosen = chooseJob(candidates, this.#shares(running));
      const row = rows.find(({ id }) => id === chosen?.id);
      if (!row || !hasRoom(jobOf(row))) return undefined;
      const token = newId('lease_');
      const status = row.status === 'queued' ? 'running' : row.status;
      this.#database.run(
        `UPDATE jobs SET lease_token = ?, lease_host = ?, lease_pid = ?, lease_until = ?, status = ?, started_at = ? WHERE id = ?`,
        token,
        hostname(),
        process.pid,
        now + LEASE_MS,
        status,
        status === 'running' ? now : row.started_at,
        row.id,
      );
      if (row.status === 'queued') this.#tell(row.id, 'info', 'Fine-tuning job started.');
      else if (row.lease_token !== null) this.#tell(row.id, 'warn', 'The job was interrupted and goes on.');
      this.#held.add(token);
      return { token, job: jobOf(this.#require(row.id)) };
    });
  }

  /** Extends the lease. @returns the job's state, or undefined when the lease is lost */
  heartbeat(lease: JobLease): JobStatus | undefined {
    return this.#holding(lease, (row) => {
      this.#database.run(
        'UPDATE jobs SET lease_until = ? WHERE id = ?',
        Math.floor(this.#clock.epochMs()) + LEASE_MS,
        row.id,
      );
      return row.status;
    });
  }

  /** The job's files are good. @returns whether that counts */
  validated(lease: JobLease, resolved: ResolvedHyperparameters, estimatedFinish: number): boolean {
    return this.#report(lease, 'validated', (id) => {
      const sql = 'UPDATE jobs SET resolved = ?, estimated_finish = ? WHERE id = ?';
      this.#database.run(sql, JSON.stringify(resolved), Math.floor(estimatedFinish), id);
      this.#tell(id, 'info', 'Files validated, moving job to queued state.');
    });
  }

  /** Adds events while the job runs. @returns whether they count */
  tell(lease: JobLease, events: readonly NewJobEvent[], estimatedFinish: number | null): boolean {
    const told = this.#holding(lease, (row) => {
      if (row.status !== 'running') return false;
      for (const event of events) addEvent(this.#database, this.#clock, row.id, event);
      if (estimatedFinish !== null) {
        this.#database.run('UPDATE jobs SET estimated_finish = ? WHERE id = ?', Math.floor(estimatedFinish), row.id);
      }
      return true;
    });
    return told ?? false;
  }

  /** Whether any job has this version as a checkpoint. */
  isCheckpoint(reference: string): boolean {
    return isCheckpoint(this.#database, reference);
  }

  hasCheckpoint({ job }: JobLease, step: number): boolean {
    return hasCheckpoint(this.#database, job.id, step);
  }

  /** @returns the registry's versions that no checkpoint has any more, or undefined when it does not count */
  addCheckpoint(lease: JobLease, metrics: CheckpointMetrics, reference: string): string[] | undefined {
    return this.#holding(lease, (row) => {
      if (row.status !== 'running') return undefined;
      const gone = addCheckpoint(this.#database, this.#clock, lease.job, metrics, reference);
      this.#tell(row.id, 'info', `Checkpoint created at step ${metrics.step}.`);
      return gone;
    });
  }

  /** Forgets the job's steps, checkpoints and expected end, and says why. @returns versions that are no checkpoints any more; undefined: it does not count */
  startAnew(lease: JobLease, why: string): string[] | undefined {
    return this.#holding(lease, (row) => {
      if (row.status !== 'running') return undefined;
      removeSteps(this.#database, row.id);
      this.#database.run('UPDATE jobs SET estimated_finish = NULL WHERE id = ?', row.id);
      this.#tell(row.id, 'warn', `The job starts anew: ${why}.`);
      return removeCheckpoints(this.#database, row.id);
    });
  }

  /** Whether any step of the job has been told. */
  hasSteps({ job }: JobLease): boolean {
    return hasSteps(this.#database, job.id);
  }

  /** The figures of the steps until now, in order. */
  stepMetrics({ job }: JobLease): CheckpointMetrics[] {
    return stepMetrics(this.#database, job.id);
  }

  /** Ends the job, with its result file. @returns whether that counts */
  succeeded(lease: JobLease, { reference, trainedTokens, results }: JobSuccess): boolean {
    return this.#report(lease, 'succeeded', (id) => {
      const { job } = lease;
      const file = this.#files.insert(
        {
          tenant: job.tenant,
          filename: 'step_metrics.csv',
          purpose: 'fine-tune-results',
          lifetimeMs: null,
          verdict: { form: null, examples: null, problem: null },
        },
        results,
        // The job's own: were it reported twice, there would still be one.
        id.replace('ftjob-', 'file-'),
      );
      const sql = 'UPDATE jobs SET reference = ?, trained_tokens = ?, result_file = ? WHERE id = ?';
      this.#database.run(sql, reference, trainedTokens, file.id, id);
      this.#tell(id, 'info', `New fine-tuned model created: ${job.modelName} (${reference})`);
      this.#tell(id, 'info', 'The job has successfully completed.');
    });
  }

  /** @returns whether that counts */
  failed(lease: JobLease, error: JobError): boolean {
    return this.#report(lease, lease.job.resolved ? 'failed' : 'rejected', (id) => {
      this.#database.run('UPDATE jobs SET error = ? WHERE id = ?', JSON.stringify(error), id);
      this.#tell(id, 'error', `The job has failed: ${error.message}`);
    });
  }

  /** Gives the lease back; a job that still waits for its end can be taken by the next. */
  release(lease: JobLease): void {
    this.#holding(lease, (row) => {
      const next = nextStatus(row.status, 'released', row.resolved !== null) ?? row.status;
      this.#database.run(
        'UPDATE jobs SET status = ?, lease_token = NULL, lease_host = NULL, lease_pid = NULL, lease_until = NULL WHERE id = ?',
        next,
        row.id,
      );
    });
    this.#held.delete(lease.token);
    // A job that is gone was a tenant's that has been erased.
    const row = this.#database.get<JobRow>('SELECT * FROM jobs WHERE id = ?', lease.job.id);
    if (!row || isFinal(row.status)) this.#files.release(digestsOf(lease.job));
  }

  /** Whether somebody works on a job of the tenant's: until it has given the job back, it may still write. */
  isWorking(tenant: string): boolean {
    const now = Math.floor(this.#clock.epochMs());
    const sql = 'SELECT * FROM jobs WHERE tenant = ? AND lease_token IS NOT NULL';
    return this.#database.all<JobRow>(sql, tenant).some((row) => !this.#isOver(row, now));
  }

  /** Of these jobs, those whose working folder nobody needs any more: ended, in nobody's hands that still works, or (null) unknown. */
  ended(ids: readonly string[]): { readonly id: string; readonly job: Job | null }[] {
    const now = Math.floor(this.#clock.epochMs());
    return ids.flatMap((id): { id: string; job: Job | null }[] => {
      const row = this.#database.get<JobRow>('SELECT * FROM jobs WHERE id = ?', id);
      if (!row) return [{ id, job: null }];
      // Whoever was killed while it had the job has not given it back.
      const isFree = row.lease_token === null || this.#isOver(row, now);
      return isFinal(row.status) && isFree ? [{ id, job: jobOf(row) }] : [];
    });
  }

  #report(lease: JobLease, report: JobReport, change: (id: string) => void): boolean {
    const reported = this.#holding(lease, (row) => {
      const next = nextStatus(row.status, report, row.resolved !== null);
      if (next === undefined) return false;
      const finishedAt = isFinal(next) ? Math.floor(this.#clock.epochMs()) : null;
      this.#database.run(
        'UPDATE jobs SET status = ?, finished_at = ?, estimated_finish = NULL WHERE id = ?',
        next,
        finishedAt,
        row.id,
      );
      change(row.id);
      if (isFinal(next)) this.#onEnd?.(jobOf(this.#require(row.id)));
      return true;
    });
    return reported ?? false;
  }

  #holding<T>({ token, job }: JobLease, work: (row: JobRow) => T): T | undefined {
    return this.#database.transaction(() => {
      const sql = 'SELECT * FROM jobs WHERE id = ? AND lease_token = ?';
      const row = this.#database.get<JobRow>(sql, job.id, token);
      return row && work(row);
    });
  }

  #isOver(row: JobRow, now: number): boolean {
    if (row.lease_until === null || row.lease_until <= now) return true;
    if (row.lease_host !== hostname() || row.lease_pid === null || row.lease_token === null) return false;
    // A process that has this one's number, and is not this one, is gone.
    if (row.lease_pid === process.pid) return !this.#held.has(row.lease_token);
    return !isProcessAlive(row.lease_pid);
  }

  #shares(running: readonly JobRow[]): Map<string, TenantShare> {
    const shares = new Map<string, TenantShare>();
    const rows = this.#database.all<ShareRow>('SELECT tenant, max(started_at) AS last FROM jobs GROUP BY tenant');
    for (const { tenant, last } of rows) {
      const numRunning = running.filter((row) => row.tenant === tenant).length;
      shares.set(tenant, { numRunning, lastStartedAt: last });
    }
    return shares;
  }

  #require(id: string): JobRow {
    const row = this.#database.get<JobRow>('SELECT * FROM jobs WHERE id = ?', id);
    assert(row, 'a job is never removed while it is leased');
    return row;
  }

  #tell(job: string, level: NewJobEvent['level'], message: string): void {
    addEvent(this.#database, this.#clock, job, { level, message });
  }
}
