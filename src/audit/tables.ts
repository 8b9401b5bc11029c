import type { MigrationSet } from '../storage/index.ts';

/**
 * An entry's hash is over the entry before it and over `body_digest`, not over the body itself (actor, tenant, target, detail). So the body
 * of an erased tenant's entry can go, salt included, and the chain still holds. The triggers let nothing else be changed; who goes around them
 * with another program is found by `verify`.
 */
export const AUDIT_MIGRATIONS: MigrationSet = {
  room: 'audit',
  migrations: [
    {
      version: 1,
      name: 'audit log',
      sql: `
CREATE TABLE audit_log (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, action TEXT NOT NULL,
  actor TEXT, tenant TEXT, target TEXT, detail TEXT, salt TEXT,
  body_digest TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE INDEX audit_log_by_tenant ON audit_log (tenant, seq);

CREATE TRIGGER audit_log_is_kept BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END;

CREATE TRIGGER audit_log_is_unchanged BEFORE UPDATE ON audit_log
WHEN NOT (
  new.seq = old.seq AND new.at = old.at AND new.action = old.action AND new.body_digest = old.body_digest AND new.hash = old.hash
  AND new.actor IS NULL AND new.tenant IS NULL AND new.target IS NULL AND new.detail IS NULL AND new.salt IS NULL
)
BEGIN SELECT RAISE(ABORT, 'an entry of the audit log can be erased, and not changed'); END;
`,
    },
  ],
};
