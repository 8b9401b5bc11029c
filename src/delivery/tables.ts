import type { MigrationSet } from '../storage/index.ts';

/**
 * At most one canary and one shadow of a task is open at a time: unique indexes say so, whichever process starts them. The events are
 * append-only.
 */
export const DELIVERY_MIGRATIONS: MigrationSet = {
  room: 'delivery',
  migrations: [
    {
      version: 1,
      name: 'gates, canaries, shadows, events',
      sql: `
CREATE TABLE gates (
  tenant TEXT NOT NULL, task TEXT NOT NULL,
  metric TEXT NOT NULL, data TEXT NOT NULL, data_name TEXT NOT NULL,
  threshold REAL, tolerance REAL, max_tokens INTEGER NOT NULL, changed_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, task)
) STRICT, WITHOUT ROWID;
CREATE INDEX gates_by_data ON gates (data);

CREATE TABLE gate_scores (
  tenant TEXT NOT NULL, adapter TEXT NOT NULL, data TEXT NOT NULL, metric TEXT NOT NULL, max_tokens INTEGER NOT NULL,
  value REAL NOT NULL, examples INTEGER NOT NULL, measured_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, adapter, data, metric, max_tokens)
) STRICT, WITHOUT ROWID;

CREATE TABLE canaries (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, task TEXT NOT NULL, version INTEGER NOT NULL,
  settings TEXT NOT NULL, status TEXT NOT NULL, reason TEXT,
  step INTEGER NOT NULL, step_began_at INTEGER NOT NULL, step_requests INTEGER NOT NULL,
  started_at INTEGER NOT NULL, ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX canaries_open ON canaries (tenant, task) WHERE ended_at IS NULL;
CREATE INDEX canaries_by_task ON canaries (tenant, task, started_at);

CREATE TABLE canary_counts (
  canary TEXT NOT NULL REFERENCES canaries (id) ON DELETE CASCADE, arm TEXT NOT NULL,
  requests INTEGER NOT NULL DEFAULT 0, errors INTEGER NOT NULL DEFAULT 0,
  timed INTEGER NOT NULL DEFAULT 0, log_seconds REAL NOT NULL DEFAULT 0, log_seconds_squared REAL NOT NULL DEFAULT 0,
  scored INTEGER NOT NULL DEFAULT 0, scores REAL NOT NULL DEFAULT 0, scores_squared REAL NOT NULL DEFAULT 0,
  PRIMARY KEY (canary, arm)
) STRICT, WITHOUT ROWID;

CREATE TABLE canary_answers (
  tenant TEXT NOT NULL, request TEXT NOT NULL, canary TEXT NOT NULL REFERENCES canaries (id) ON DELETE CASCADE,
  arm TEXT NOT NULL, answered_at INTEGER NOT NULL, score REAL,
  PRIMARY KEY (tenant, request)
) STRICT, WITHOUT ROWID;
CREATE INDEX canary_answers_by_canary ON canary_answers (canary);

CREATE TABLE shadows (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, task TEXT NOT NULL, version INTEGER NOT NULL, share REAL NOT NULL,
  skipped INTEGER NOT NULL DEFAULT 0, started_at INTEGER NOT NULL, ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX shadows_open ON shadows (tenant, task) WHERE ended_at IS NULL;
CREATE INDEX shadows_by_task ON shadows (tenant, task, started_at);

CREATE TABLE shadow_comparisons (
  seq INTEGER PRIMARY KEY, shadow TEXT NOT NULL REFERENCES shadows (id) ON DELETE CASCADE,
  request TEXT NOT NULL, compared_at INTEGER NOT NULL, error TEXT,
  is_equal INTEGER, similarity REAL,
  primary_chars INTEGER, shadow_chars INTEGER, primary_tokens INTEGER, shadow_tokens INTEGER,
  primary_ms REAL, shadow_ms REAL
) STRICT;
CREATE INDEX shadow_comparisons_by_shadow ON shadow_comparisons (shadow, similarity);

CREATE TABLE delivery_events (
  seq INTEGER PRIMARY KEY, tenant TEXT NOT NULL, task TEXT NOT NULL, at INTEGER NOT NULL,
  kind TEXT NOT NULL, version INTEGER, actor TEXT, message TEXT NOT NULL
) STRICT;
CREATE INDEX delivery_events_by_task ON delivery_events (tenant, task, seq);
`,
    },
  ],
};
