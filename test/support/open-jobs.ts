import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../src/base/index.ts';
import type { ResolvedHyperparameters } from '../../src/jobs/hyperparameters.ts';
import { FileStore, JOBS_MIGRATIONS, JobLeases, JobQueue, type JobLease, type NewJob } from '../../src/jobs/index.ts';
import { Database } from '../../src/storage/index.ts';

/** The queue of jobs in a database of its own, which goes with it. */
export interface OpenJobs extends Disposable {
  readonly home: string;
  readonly database: Database;
  readonly queue: JobQueue;
  readonly leases: JobLeases;
}

export async function openJobs(clock: Clock): Promise<OpenJobs> {
  const home = mkdtempSync(join(tmpdir(), 'espalier-jobs-'));
  const database = Database.open(join(home, 'espalier.db'), [JOBS_MIGRATIONS], clock);
  const files = await FileStore.open(database, home, clock);
  return {
    home,
    database,
    queue: new JobQueue(database, files, clock),
    leases: new JobLeases(database, files, clock),
    [Symbol.dispose]() {
      database.close();
      rmSync(home, { recursive: true });
    },
  };
}

/** Orders a job, lets its files pass, and takes it to train it. */
export function beginTraining({ queue, leases }: OpenJobs, job: NewJob, resolved: ResolvedHyperparameters): JobLease {
  queue.create(job);
  const checking = leases.take('check');
  assert.ok(checking);
  leases.validated(checking, resolved, 0);
  leases.release(checking);
  const training = leases.take('train');
  assert.ok(training);
  return training;
}
