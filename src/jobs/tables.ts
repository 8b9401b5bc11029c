import type { MigrationSet } from '../storage/index.ts';

/**
 * `seq` is the order of creation, which lists follow: two things may be made in one millisecond. A job keeps the digests of its data, so
 * that a file that is deleted under it takes nothing away. A row of `jobs` is changed by whoever holds its lease, or by its tenant's
 * command; the unique keys of events and checkpoints make a repeated step harmless.
 */
export const JOBS_MIGRATIONS: MigrationSet = {
  room: 'jobs',
  migrations: [
    {
      version: 1,
      name: 'files, uploads, fine-tuning jobs',
      sql: `
CREATE TABLE stored_files (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL, filename TEXT NOT NULL,
  purpose TEXT NOT NULL CHECK (purpose IN ('fine-tune', 'fine-tune-results')),
  digest TEXT NOT NULL, size_bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL, expires_at INTEGER,
  form TEXT, examples INTEGER, problem TEXT
) STRICT;
CREATE INDEX stored_files_by_tenant ON stored_files (tenant, seq);
CREATE INDEX stored_files_by_digest ON stored_files (digest);
CREATE INDEX stored_files_by_expiry ON stored_files (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE uploads (
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL, filename TEXT NOT NULL, purpose TEXT NOT NULL, mime_type TEXT NOT NULL, size_bytes INTEGER NOT NULL,
  file_lifetime_ms INTEGER, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'completed', 'cancelled')),
  file TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE upload_parts (
  id TEXT PRIMARY KEY,
  upload TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
  digest TEXT NOT NULL, size_bytes INTEGER NOT NULL, created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_parts_by_upload ON upload_parts (upload);
CREATE INDEX upload_parts_by_digest ON upload_parts (digest);

CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('validating_files', 'queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')),
  base_name TEXT NOT NULL, base_digest TEXT NOT NULL,
  suffix TEXT, seed INTEGER NOT NULL,
  method TEXT NOT NULL, requested TEXT NOT NULL, resolved TEXT,
  training_file TEXT NOT NULL, training_digest TEXT NOT NULL, validation_file TEXT, validation_digest TEXT,
  metadata TEXT NOT NULL,
  created_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER, estimated_finish INTEGER,
  trained_tokens INTEGER, model_name TEXT NOT NULL UNIQUE, reference TEXT, result_file TEXT, error TEXT,
  lease_token TEXT, lease_host TEXT, lease_pid INTEGER, lease_until INTEGER
) STRICT;
CREATE INDEX jobs_by_tenant ON jobs (tenant, seq);
CREATE INDEX jobs_by_status ON jobs (status, seq);
CREATE INDEX jobs_by_training_digest ON jobs (training_digest);
CREATE INDEX jobs_by_validation_digest ON jobs (validation_digest);

CREATE TABLE job_events (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  created_at INTEGER NOT NULL, level TEXT NOT NULL, type TEXT NOT NULL, message TEXT NOT NULL, data TEXT,
  step INTEGER, UNIQUE (job, step)
) STRICT;
CREATE INDEX job_events_by_job ON job_events (job, seq);

CREATE TABLE job_checkpoints (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  step INTEGER NOT NULL, created_at INTEGER NOT NULL,
  model_name TEXT NOT NULL UNIQUE, reference TEXT NOT NULL, metrics TEXT NOT NULL,
  UNIQUE (job, step)
) STRICT;
CREATE INDEX job_checkpoints_by_reference ON job_checkpoints (reference);
`,
    },
    { version: 2, name: 'projects of jobs', sql: 'ALTER TABLE jobs ADD COLUMN project TEXT' },
    { version: 3, name: 'PEFT settings of jobs', sql: 'ALTER TABLE jobs ADD COLUMN peft TEXT' },
  ],
};
