import type { Job, JobCommand, JobEvent } from '../jobs/index.ts';
import type { AppConfig } from './config.ts';
import { ACTOR_CLI, jobEntry } from './governance/entries.ts';
import { openPlatform } from './platform.ts';

/** The latest fine-tuning jobs, of one tenant or of all. */
export async function listJobs(config: AppConfig, tenant: string | undefined, limit: number): Promise<readonly Job[]> {
  await using platform = await openPlatform(config);
  return platform.jobs.list(tenant ?? null, { limit }).items;
}

/** @throws JOB_NOT_FOUND */
export async function showJob(config: AppConfig, id: string): Promise<Job> {
  await using platform = await openPlatform(config);
  return platform.jobs.get(null, id);
}

/** A server that trains the job notices within a second. @throws JOB_NOT_FOUND REQUEST_INVALID */
export async function commandJob(config: AppConfig, id: string, command: JobCommand): Promise<Job> {
  await using platform = await openPlatform(config);
  return platform.audit.during(
    () => platform.jobs.command(null, id, command),
    (job) => jobEntry(ACTOR_CLI, `job.${command}`, job),
  );
}

/** The latest events of a job, the latest first. @throws JOB_NOT_FOUND */
export async function jobEvents(config: AppConfig, id: string, limit: number): Promise<readonly JobEvent[]> {
  await using platform = await openPlatform(config);
  return platform.jobs.events(null, id, { limit }).items;
}
