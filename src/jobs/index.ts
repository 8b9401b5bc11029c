/**
 * jobs: fine-tuning as a service: tenants' files and uploads, the durable queue of jobs with its leases, and the runner that takes them.
 * Owns: the tables of files, uploads, jobs, events and checkpoints; the blob store of files. What a job does is passed in.
 * May import: base storage.   Called by: app.
 * Runs on: any process; several may queue and run jobs of one home folder at once.
 * Throws: REQUEST_INVALID STORED_FILE_NOT_FOUND UPLOAD_NOT_FOUND JOB_NOT_FOUND STORAGE_BUSY STORAGE_CORRUPT.
 */
export { JOBS_MIGRATIONS } from './tables.ts';
export { FileStore } from './files.ts';
export type { FilePage, FilePurpose, FileVerdict, NewFile, StoredFile } from './stored-file.ts';
export type { Listed } from './newest.ts';
export { Uploads, type NewUpload, type Upload, type UploadPart, type UploadStatus } from './uploads.ts';
export {
  resolveHyperparameters,
  type Auto,
  type DataSize,
  type RequestedHyperparameters,
  type ResolvedHyperparameters,
} from './hyperparameters.ts';
export { isFinal, JOB_COMMANDS, JOB_STATUSES, type JobCommand, type JobStatus } from './job-status.ts';
export {
  DEFAULT_PEFT,
  DEFAULT_TASK,
  type CheckpointMetrics,
  type Job,
  type JobCheckpoint,
  type JobError,
  type JobEvent,
  type JobFile,
  type JobMethod,
  type JobPeft,
  type NewJob,
  type NewJobEvent,
} from './job.ts';
export type { EventPage } from './job-events.ts';
export { JobQueue, type JobPage, type TunedModel } from './job-queue.ts';
export { JobLeases, type JobLease, type JobStage, type JobSuccess } from './job-leases.ts';
export type { Place } from './places.ts';
export { JobRunner, type JobWork, type RunnerOptions, type StopReason } from './runner.ts';
