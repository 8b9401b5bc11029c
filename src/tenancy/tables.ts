import type { MigrationSet } from '../storage/index.ts';

/**
 * Keys go with their tenant; usage stays, because it is what was consumed: of an erased tenant as sums without its name. A price holds from a
 * day on; the tenant '' is everybody. An erasure is there from its order to its end, and has the name only until then.
 */
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
    {
      version: 3,
      name: 'projects, training tokens, prices, erasures',
      sql: `
ALTER TABLE api_keys ADD COLUMN project TEXT;

ALTER TABLE usage RENAME TO usage_before_projects;
CREATE TABLE usage (
  tenant TEXT NOT NULL, project TEXT NOT NULL, day TEXT NOT NULL, adapter TEXT NOT NULL,
  requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  training_tokens INTEGER NOT NULL,
  PRIMARY KEY (tenant, day, adapter, project)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_by_day ON usage (day);
INSERT INTO usage SELECT tenant, '', day, adapter, requests, prompt_tokens, cached_tokens, completion_tokens, 0 FROM usage_before_projects;
DROP TABLE usage_before_projects;

CREATE TABLE prices (
  tenant TEXT NOT NULL, from_day TEXT NOT NULL, currency TEXT,
  prompt REAL, cached REAL, completion REAL, training REAL,
  PRIMARY KEY (tenant, from_day)
) STRICT, WITHOUT ROWID;

CREATE TABLE erasures (
  id TEXT PRIMARY KEY, tenant TEXT UNIQUE, actor TEXT NOT NULL, begun_at INTEGER NOT NULL, finished_at INTEGER,
  report TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`,
    },
  ],
};
