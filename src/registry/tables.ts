import type { MigrationSet } from '../storage/index.ts';

/**
 * Every look-up by a name, a digest or an alias goes through an index. `tasks` remembers the last number, so that a removed
 * version's number never comes back with other content. `alias_changes` is append-only: `previous` is the change that a rollback
 * returns to.
 */
export const REGISTRY_MIGRATIONS: MigrationSet = {
  room: 'registry',
  migrations: [
    {
      version: 1,
      name: 'adapters',
      sql: `
CREATE TABLE tasks (
  tenant TEXT NOT NULL, task TEXT NOT NULL, last_version INTEGER NOT NULL,
  PRIMARY KEY (tenant, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE adapter_versions (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL, task TEXT NOT NULL, version INTEGER NOT NULL,
  digest TEXT NOT NULL,
  base_name TEXT NOT NULL, base_digest TEXT NOT NULL,
  method TEXT NOT NULL, rank INTEGER, parameters INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  metrics TEXT NOT NULL, provenance TEXT NOT NULL,
  UNIQUE (tenant, task, version),
  UNIQUE (tenant, task, digest)
) STRICT;
CREATE INDEX adapter_versions_by_digest ON adapter_versions (digest, tenant);

CREATE TABLE adapter_files (
  version_id INTEGER NOT NULL REFERENCES adapter_versions (id) ON DELETE CASCADE,
  name TEXT NOT NULL, digest TEXT NOT NULL, size_bytes INTEGER NOT NULL,
  PRIMARY KEY (version_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX adapter_files_by_digest ON adapter_files (digest);

CREATE TABLE alias_changes (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL, task TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL,
  previous INTEGER REFERENCES alias_changes (id),
  changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX alias_changes_by_alias ON alias_changes (tenant, task, alias);
CREATE INDEX alias_changes_by_previous ON alias_changes (previous);

CREATE TABLE aliases (
  tenant TEXT NOT NULL, task TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL,
  change INTEGER NOT NULL REFERENCES alias_changes (id),
  PRIMARY KEY (tenant, task, alias),
  FOREIGN KEY (tenant, task, version) REFERENCES adapter_versions (tenant, task, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_by_version ON aliases (tenant, task, version);
CREATE INDEX aliases_by_change ON aliases (change);
`,
    },
    {
      version: 2,
      name: 'labels of classifiers',
      sql: 'ALTER TABLE adapter_versions ADD COLUMN classes TEXT;',
    },
  ],
};
