import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, errorMessage, systemClock, type Log } from '../../base/index.ts';
import type { CheckpointMetrics, JobLease, JobLeases, NewJobEvent } from '../../jobs/index.ts';
import { snapshotFolder, type StepRecord, type TrainStarted } from '../../training/index.ts';
import type { TrainerEvents } from '../runs/trainer-process.ts';

/** Events are written together so often: each writing waits for the disk. */
const FLUSH_MS = 500;

/** Resolves to whether the folder is not needed any more; one that is left is published when the job goes on. */
export type PublishSnapshot = (metrics: CheckpointMetrics, folder: string) => Promise<boolean>;

/**
 * Writes down what a training process tells. Nothing is lost with this process: what was not written down is told again by the next run
 * that goes on from the checkpoint, as history or as steps, and what was written already is not written twice.
 */
export class JobReporter implements TrainerEvents {
  readonly #leases: JobLeases;
  readonly #lease: JobLease;
  readonly #folder: string;
  readonly #publish: PublishSnapshot;
  readonly #log: Log;
  readonly #metrics = new Map<number, CheckpointMetrics>();
  readonly #timer: NodeJS.Timeout;
  #events: NewJobEvent[] = [];
  #estimatedFinish: number | null = null;
  #started: TrainStarted | undefined;
  /** Checkpoints are published one after the other, in their order. */
  #publishing: Promise<void> = Promise.resolve();

  constructor(leases: JobLeases, lease: JobLease, folder: string, publish: PublishSnapshot, log: Log) {
    this.#leases = leases;
    this.#lease = lease;
    this.#folder = folder;
    this.#publish = publish;
    this.#log = log;
    this.#timer = setInterval(() => this.#tryToFlush(), FLUSH_MS);
  }

  get trainableParameters(): number {
    assert(this.#started, 'a run has started before something comes of it');
    return this.#started.trainableParameters;
  }

  onStarted(started: TrainStarted): void {
    this.#started = started;
    for (const record of started.history) this.#record(record);
    this.#then(() => this.#publishLeftovers(started.startStep));
  }

  onStep({ report, secondsLeft }: Parameters<NonNullable<TrainerEvents['onStep']>>[0]): void {
    this.#record(report);
    this.#estimatedFinish = systemClock.epochMs() + 1000 * secondsLeft;
  }

  onSnapshot({ step, folder }: Parameters<NonNullable<TrainerEvents['onSnapshot']>>[0]): void {
    this.#then(() => this.#publishSnapshot(step, folder));
  }

  /** Writes down what is left. @throws what the publishing of a checkpoint has thrown */
  async finish(): Promise<void> {
    clearInterval(this.#timer);
    await this.#publishing;
    this.#flush();
  }

  #record({ step, loss, accuracy, valid }: StepRecord): void {
    const metrics: CheckpointMetrics = {
      step,
      trainLoss: loss,
      trainAccuracy: accuracy,
      validLoss: valid?.loss ?? null,
      validAccuracy: valid?.accuracy ?? null,
    };
    this.#metrics.set(step, metrics);
    assert(this.#started, 'a run has started before its first step');
    const { totalSteps } = this.#started;
    const heldOut = valid ? `, validation loss=${valid.loss.toFixed(4)}` : '';
    this.#events.push({
      level: 'info',
      message: `Step ${step}/${totalSteps}: training loss=${loss.toFixed(4)}${heldOut}`,
      metrics: { ...metrics, totalSteps },
    });
  }

  #flush(): void {
    if (this.#events.length === 0) return;
    this.#leases.tell(this.#lease, this.#events, this.#estimatedFinish);
    this.#events = [];
  }

  /** A database that is busy for long is no reason to end the server: what could not be written is written with what comes next. */
  #tryToFlush(): void {
    try {
      this.#flush();
    } catch (error) {
      this.#log.warn({ job: this.#lease.job.id, error: errorMessage(error) }, 'events of a job are kept for later');
    }
  }

  #then(work: () => Promise<void>): void {
    this.#publishing = this.#publishing.then(work);
    // It is told by `finish`, which everybody waits for.
    this.#publishing.catch(() => undefined);
  }

  /** Snapshots of an earlier run that was ended before they were published. */
  async #publishLeftovers(lastStep: number): Promise<void> {
    const root = join(this.#folder, 'snapshots');
    const names = existsSync(root) ? await readdir(root) : [];
    const steps = names.flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
    for (const step of steps.toSorted((a, b) => a - b)) {
      // One behind the checkpoint may not be whole, and will be made again.
      if (step <= lastStep) await this.#publishSnapshot(step, snapshotFolder(this.#folder, step));
    }
  }

  async #publishSnapshot(step: number, folder: string): Promise<void> {
    const metrics = this.#metrics.get(step);
    assert(metrics, 'a snapshot is of a step that was told');
    this.#flush();
    if (await this.#publish(metrics, folder)) await rm(folder, { recursive: true, force: true });
  }
}
