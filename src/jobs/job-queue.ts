import { assert, fail, newId, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import { listCheckpoints } from './checkpoints.ts';
import type { FileStore } from './files.ts';
import type { Listed } from './newest.ts';
import { addEvent, listEvents, type EventPage } from './job-events.ts';
import { digestsOf, jobOf, type JobRow } from './job-rows.ts';
import { isFinal, nextStatus, type JobCommand } from './job-status.ts';
import { DEFAULT_PEFT, modelNameOf, type Job, type JobCheckpoint, type JobEvent, type NewJob } from './job.ts';

export interface JobPage {
  readonly limit: number;
  /** The last job of the page before. */
  readonly after?: string | undefined;
  /** Only jobs whose metadata has these; null: only jobs without any. */
  readonly metadata?: Readonly<Record<string, string>> | null | undefined;
}

/** A model that a job has made, or a checkpoint of one. */
export interface TunedModel {
  readonly name: string;
  readonly reference: string;
  readonly tenant: string;
  readonly base: string;
  readonly createdAt: number;
}

interface ModelRow {
  readonly name: string;
  readonly reference: string;
  readonly tenant: string;
  readonly base_name: string;
  readonly created_at: number;
}

const COMMAND_EVENTS: Readonly<Record<JobCommand, string>> = {
  cancel: 'The job has been cancelled.',
  pause: 'The job has been paused.',
  resume: 'The job has been resumed.',
};

/** Every model that can be asked by an `ft:` name. */
const MODELS = `
  SELECT model_name AS name, reference, tenant, base_name, finished_at AS created_at FROM jobs WHERE reference IS NOT NULL
  UNION ALL
  SELECT c.model_name, c.reference, j.tenant, j.base_name, c.created_at FROM job_checkpoints c JOIN jobs j ON j.id = c.job`;

/** Fine-tuning jobs as their tenants see them: they order, and look on. What runs them is behind {@link JobLeases}. */
export class JobQueue {
  readonly #database: Database;
  readonly #files: Pick<FileStore, 'release'>;
  readonly #clock: Clock;

  constructor(database: Database, files: Pick<FileStore, 'release'>, clock: Clock) {
    this.#database = database;
    this.#files = files;
    this.#clock = clock;
  }

  create(job: NewJob): Job {
    const id = newId('ftjob-');
    return this.#database.transaction(() => {
      this.#database.run(
        `INSERT INTO jobs (id, tenant, status, base_name, base_digest, suffix, seed, method, requested, training_file, training_digest,
           validation_file, validation_digest, metadata, created_at, model_name, project, peft)
         VALUES (?, ?, 'validating_files', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        id,
        job.tenant,
        job.base.name,
        job.base.digest,
        job.suffix,
        job.seed,
        job.method,
        JSON.stringify(job.hyperparameters),
        job.training.id,
        job.training.digest,
        job.validation?.id ?? null,
        job.validation?.digest ?? null,
        JSON.stringify(job.metadata),
        Math.floor(this.#clock.epochMs()),
        modelNameOf(job.base.name, job.tenant, job.suffix, id),
        job.project ?? null,
        JSON.stringify(job.peft ?? DEFAULT_PEFT),
      );
      this.#tell(id, `Created fine-tuning job: ${id}`);
      this.#tell(id, `Validating training file: ${job.training.id}`);
      return this.get(job.tenant, id);
    });
  }

  /** @param tenant null: the operator, who sees all @throws JOB_NOT_FOUND also for another tenant's */
  get(tenant: string | null, id: string): Job {
    return jobOf(this.#row(tenant, id));
  }

  /** The latest first. @throws JOB_NOT_FOUND for an unknown `after` */
  list(tenant: string | null, { limit, after, metadata = {} }: JobPage): Listed<Job> {
    const start = after === undefined ? Number.MAX_SAFE_INTEGER : this.#row(tenant, after).seq;
    const rows = this.#database.all<JobRow>(
      `SELECT * FROM jobs WHERE (?1 IS NULL OR tenant = ?1) AND seq < ?2 AND (?3 <> 'null' OR metadata = '{}')
         AND NOT EXISTS (SELECT 1 FROM json_each(?3) AS asked
                         WHERE asked.value IS NOT (SELECT has.value FROM json_each(jobs.metadata) AS has WHERE has.key = asked.key))
       ORDER BY seq DESC LIMIT ?4`,
      tenant,
      start,
      JSON.stringify(metadata),
      limit + 1,
    );
    return { items: rows.slice(0, limit).map(jobOf), hasMore: rows.length > limit };
  }

  /** Takes effect at once; whoever trains it notices within a heartbeat. @throws JOB_NOT_FOUND; REQUEST_INVALID not in this state */
  command(tenant: string | null, id: string, command: JobCommand): Job {
    const { job, isFree } = this.#database.transaction(() => {
      const row = this.#row(tenant, id);
      const next = nextStatus(row.status, command, row.resolved !== null);
      if (next === undefined) {
        return fail('REQUEST_INVALID', `job ${id} is ${row.status}: it is too late, or too early, to ${command} it`, {
          param: 'fine_tuning_job_id',
        });
      }
      const now = Math.floor(this.#clock.epochMs());
      this.#database.run(
        'UPDATE jobs SET status = ?, finished_at = ?, estimated_finish = NULL WHERE id = ?',
        next,
        isFinal(next) ? now : null,
        id,
      );
      this.#tell(id, COMMAND_EVENTS[command]);
      return { job: this.get(tenant, id), isFree: row.lease_token === null };
    });
    // Whoever works on it lets go of its files himself.
    if (isFree && isFinal(job.status)) this.#files.release(digestsOf(job));
    return job;
  }

  /** Cancels what of a tenant's jobs has not ended. Whoever trains one notices within a heartbeat. */
  cancelAll(tenant: string): void {
    this.#database.run(
      "UPDATE jobs SET status = 'cancelled', finished_at = ?, estimated_finish = NULL WHERE tenant = ? AND finished_at IS NULL",
      Math.floor(this.#clock.epochMs()),
      tenant,
    );
  }

  /** The ids of all jobs of a tenant. */
  ids(tenant: string): string[] {
    return this.#database.all<{ id: string }>('SELECT id FROM jobs WHERE tenant = ?', tenant).map(({ id }) => id);
  }

  has(id: string): boolean {
    return this.#database.get('SELECT 1 FROM jobs WHERE id = ?', id) !== undefined;
  }

  /** The latest first. @throws JOB_NOT_FOUND; REQUEST_INVALID for an unknown `after` */
  events(tenant: string | null, id: string, page: EventPage): Listed<JobEvent> {
    const { resolved } = jobOf(this.#row(tenant, id));
    const evaluateEvery = resolved?.evaluateEverySteps ?? null;
    return listEvents(this.#database, id, page, evaluateEvery) ?? failUnknownAfter(page.after);
  }

  /** The latest first. @throws JOB_NOT_FOUND; REQUEST_INVALID for an unknown `after` */
  checkpoints(tenant: string | null, id: string, limit: number, after?: string): Listed<JobCheckpoint> {
    this.#row(tenant, id);
    return listCheckpoints(this.#database, id, limit, after) ?? failUnknownAfter(after);
  }

  /** The model behind an `ft:` name; undefined: the tenant has none of that name. */
  findModel(tenant: string | null, name: string): TunedModel | undefined {
    const row = this.#database.get<ModelRow>(
      `SELECT * FROM (${MODELS}) WHERE name = ?1 AND (?2 IS NULL OR tenant = ?2)`,
      name,
      tenant,
    );
    return row && modelOf(row);
  }

  /** The models of a tenant, oldest first. */
  models(tenant: string | null): TunedModel[] {
    return this.#database
      .all<ModelRow>(`SELECT * FROM (${MODELS}) WHERE (?1 IS NULL OR tenant = ?1) ORDER BY created_at, name`, tenant)
      .map(modelOf);
  }

  #tell(job: string, message: string): void {
    addEvent(this.#database, this.#clock, job, { level: 'info', message });
  }

  #row(tenant: string | null, id: string): JobRow {
    const row = this.#database.get<JobRow>(
      'SELECT * FROM jobs WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)',
      id,
      tenant,
    );
    if (row) return row;
    return fail('JOB_NOT_FOUND', `no fine-tuning job "${id}"`, { param: 'fine_tuning_job_id' });
  }
}

function failUnknownAfter(after: string | undefined): never {
  assert(after !== undefined, 'a list from its beginning has a beginning');
  return fail('REQUEST_INVALID', `after must be an id of this list, got "${after}"`, { param: 'after' });
}

function modelOf({ name, reference, tenant, base_name, created_at }: ModelRow): TunedModel {
  return { name, reference, tenant, base: base_name, createdAt: created_at };
}
