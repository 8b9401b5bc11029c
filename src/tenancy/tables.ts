import type { MigrationSet } from '../storage/index.ts';

/** Keys go with their tenant; usage stays, because it is what was consumed. */
export const TENANCY_MIGRATIONS: MigrationSet = {
  room: 'tenancy',
  migrations: [
    {
      version: 1,
      name: 'tenants, keys, usage',
      sql: `
CREATE TABLE tenants (
  name TEXT PRIMARY KEY, max_concurrent INTEGER, created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  tenant TEXT REFERENCES tenants (name) ON DELETE CASCADE,
  hash BLOB NOT NULL UNIQUE,
  hint TEXT NOT NULL, label TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('admin', 'writer', 'reader')),
  created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER,
  CHECK (tenant IS NOT NULL OR role = 'admin')
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_tenant ON api_keys (tenant);

CREATE TABLE usage (
  tenant TEXT NOT NULL, day TEXT NOT NULL, adapter TEXT NOT NULL,
  requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  PRIMARY KEY (tenant, day, adapter)
) STRICT, WITHOUT ROWID;
`,
    },
    {
      version: 2,
      name: 'limits of tenants',
      sql: `
ALTER TABLE tenants ADD COLUMN weight REAL;
ALTER TABLE tenants ADD COLUMN requests_per_minute INTEGER;
ALTER TABLE tenants ADD COLUMN tokens_per_minute INTEGER;
ALTER TABLE tenants ADD COLUMN max_priority INTEGER;
ALTER TABLE tenants ADD COLUMN max_adapters INTEGER;
ALTER TABLE tenants ADD COLUMN max_adapter_bytes INTEGER;
`,
    },
  ],
};
